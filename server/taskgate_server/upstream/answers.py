"""AWS's answers as they are: the JSON of the body, not what botocore's parser makes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from taskgate_server.upstream.mending import mend_error, mend_request_id

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.aws.model import OperationModel

BODY: Final = "taskgate.body"
"""The key of botocore's parsed answer under which `keep_body` leaves body and size."""

FIRST_ERROR_STATUS: Final = 300


def keep_body(
    operation_model: OperationModel,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    """Hook `before-parse`: takes the body as JSON and leaves botocore the headers and the errors.

    botocore's parser loses what its model does not have, refuses a whole answer for one odd union,
    takes a body that is no JSON for an empty one, and spends 15 ms on a page of 100 tasks. The hook
    has no state: it runs in many threads.
    """
    mend_request_id(response_dict["headers"])
    if response_dict["status_code"] >= FIRST_ERROR_STATUS:
        mend_error(operation_model, response_dict)
        return
    if operation_model.has_streaming_output:
        return
    body = response_dict["body"]
    _demand_all(response_dict["headers"], body)
    customized_response_dict[BODY] = read_json(body), len(body)
    response_dict["body"] = b"{}"


def _demand_all(headers: Mapping[str, str], body: bytes) -> None:
    """Finds out that a body ended early, which botocore and urllib3 do for streams only.

    Raises:
        botocore.exceptions.IncompleteReadError: it did.
    """
    told = headers.get("Content-Length", "")
    if told.isdecimal() and int(told) > len(body) and "Content-Encoding" not in headers:
        from botocore.exceptions import IncompleteReadError  # noqa: PLC0415  # see `read_json`

        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(told))


def read_json(body: bytes) -> dict[str, Any]:
    """A body as JSON; integers stay exact whatever their size.

    Raises:
        botocore.parsers.ResponseParserError: it is no JSON object.
    """
    from botocore.parsers import ResponseParserError  # noqa: PLC0415  # takes 0.2 s, see `clients`

    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ResponseParserError("the body is no JSON") from None
    if not isinstance(value, dict):
        raise ResponseParserError("the body is no JSON object")
    return value
