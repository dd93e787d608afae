"""AWS's answers as they are: the JSON of the body, not what botocore's parser makes of it."""

from __future__ import annotations

import json
import math
from collections.abc import MutableMapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

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
    if response_dict["status_code"] >= FIRST_ERROR_STATUS:
        mend_retry_after(response_dict["headers"])
        return
    if operation_model.has_streaming_output:
        return
    body = response_dict["body"]
    customized_response_dict[BODY] = read_json(body), len(body)
    response_dict["body"] = b"{}"


def mend_retry_after(headers: MutableMapping[str, str]) -> None:
    """Makes Retry-After whole seconds, which is all that botocore can read.

    It may be a date as well (RFC 9110 section 10.2.3), and a fraction has been seen; botocore's
    parser raises ValueError for both, and with it the error itself is lost.
    """
    told = headers.get("retry-after")
    if told is None or told.removeprefix("-").isdecimal():
        return
    seconds = _seconds(told, headers.get("date"))
    del headers["retry-after"]
    if seconds is not None:
        headers["retry-after"] = str(math.ceil(seconds))


def _seconds(told: str, date: str | None) -> float | None:
    try:
        return float(told)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(told)
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return (until - now).total_seconds()
    except (TypeError, ValueError):  # no date, or one without a zone
        return None


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
