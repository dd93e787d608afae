"""AWS's responses as they are: the JSON of the body, not what botocore's parser makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from taskgate_server.aws import json_text
from taskgate_server.upstream.aws_client.sanitizer import mend_error, mend_request_id

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.aws.model import OperationModel

BODY: Final = "taskgate.body"
"""The key of botocore's parsed answer under which `keep_body` leaves a `Parsed`."""

FIRST_FINAL_STATUS: Final = 200
FIRST_ERROR_STATUS: Final = 300


def keep_body(
    operation_model: OperationModel,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    """Hook `before-parse`: takes the body as JSON and leaves botocore the headers and the errors.

    botocore's parser loses what its model does not have, refuses a whole response for one odd
    union, takes a body that is no JSON for an empty one, and spends 15 ms on a page of 100 tasks.
    The hook has no state: it runs in many threads.

    Raises:
        InterimResponseError: the response is not the final one.
        botocore.parsers.ResponseParserError: the body is no JSON object, or is missing.
        botocore.exceptions.IncompleteReadError: the body ended early.
    """
    status = response_dict["status_code"]
    if status < FIRST_FINAL_STATUS:
        raise InterimResponseError
    mend_request_id(response_dict["headers"])
    if status >= FIRST_ERROR_STATUS:
        mend_error(operation_model, response_dict)
        return
    if operation_model.has_streaming_output:
        return
    body = response_dict["body"]
    _demand_all(response_dict["headers"], body)
    if not body and _has_body_members(operation_model):
        raise response_parser_error("the body is empty")
    value, has_odd_text = read_json(body)
    customized_response_dict[BODY] = Parsed(value, len(body), has_odd_text)
    response_dict["body"] = b"{}"


class InterimResponseError(Exception):
    """A response such as 103 (Early Hints), which http.client takes for the final one.

    The final response follows on the connection, which must not be used again.
    """


class Parsed(NamedTuple):
    """A body."""

    value: dict[str, Any]
    size: int
    """Bytes."""
    has_odd_text: bool
    """Whether half surrogate pairs were replaced."""


def _has_body_members(operation: OperationModel) -> bool:
    shape = operation.output_shape
    members = shape.members.values() if shape is not None else ()
    return any("location" not in member.serialization for member in members)


def _demand_all(headers: Mapping[str, str], body: bytes) -> None:
    """Finds out that a body ended early, which botocore and urllib3 do for streams only.

    Raises:
        botocore.exceptions.IncompleteReadError: it did.
    """
    told = headers.get("Content-Length", "")
    if told.isdecimal() and int(told) > len(body) and "Content-Encoding" not in headers:
        from botocore.exceptions import IncompleteReadError  # noqa: PLC0415  # see `read_json`

        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(told))


def read_json(body: bytes) -> tuple[dict[str, Any], bool]:
    """Parse a body as JSON; integers stay exact whatever their size.

    Returns:
        The object, and whether it had half surrogate pairs, which are replaced.

    Raises:
        botocore.parsers.ResponseParserError: it is no JSON object.
    """
    try:
        value, has_odd_text = json_text.parse(body or b"{}")
    except (ValueError, RecursionError):
        raise response_parser_error("the body is no JSON") from None
    if not isinstance(value, dict):
        raise response_parser_error("the body is no JSON object")
    return value, has_odd_text


def response_parser_error(message: str) -> Exception:
    """Make botocore's own error of a response that it cannot read."""
    from botocore.parsers import ResponseParserError  # noqa: PLC0415  # takes 0.2 s, see `clients`

    return ResponseParserError(message)
