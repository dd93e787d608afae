"""Makes AWS's error responses and headers readable for botocore.

An error may be garbled on its way, or not come from the service. botocore's parser would then raise
arbitrary exceptions, and status, code and Retry-After of the error would be lost. What does not fit
AWS's model is removed here; the rest is kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server listens before that
    from taskgate_server.aws.model import OperationModel, Shape

REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id")
MAX_REQUEST_ID: Final = 128
MAX_WAIT_SECONDS: Final = 2**31 - 1
"""A longer Retry-After is reduced to this, the maximum of the model's integer."""

CODE_KEYS: Final = ("__type", "code", "Code")
MESSAGE_KEYS: Final = ("message", "Message", "errorMessage")
"""The keys at which botocore looks for code and message of an error."""


def sanitize_error(operation: OperationModel, response: dict[str, Any]) -> None:
    """Make body and headers of an error response readable, in place."""
    sanitize_retry_after(response["headers"])
    try:
        value = json.loads(response["body"] or b"{}")
    except (ValueError, RecursionError):
        value = {}
    if not isinstance(value, dict):
        value = {}
    result = {
        key: clean(value[key])
        for key in (*CODE_KEYS, *MESSAGE_KEYS)
        if isinstance(value.get(key), str)
    }
    for shape in operation.error_shapes:
        members: Mapping[str, Shape] = getattr(shape, "members", {})
        for member, target in members.items():
            key = target.serialization.get("name", member)
            if key in value and fits(value[key], target):
                result[key] = _clean_all(value[key])
    response["body"] = json.dumps(result).encode()


def sanitize_request_id(headers: MutableMapping[str, str]) -> None:
    """Reduce AWS's request id to short, printable ASCII, in place."""
    for name in REQUEST_IDS:
        request_id = headers.get(name)
        if request_id is not None:
            headers[name] = re.sub(r"[^!-~]", "", request_id)[:MAX_REQUEST_ID]


def sanitize_retry_after(headers: MutableMapping[str, str]) -> None:
    """Convert Retry-After to whole seconds, the only form botocore reads, in place.

    It may also be a date (RFC 9110 section 10.2.3), and fractions have been observed.
    """
    value = headers.get("retry-after")
    if value is None:
        return
    seconds = _seconds(value, headers.get("date"))
    del headers["retry-after"]
    if seconds is not None and math.isfinite(seconds):
        whole = min(max(math.ceil(seconds), -MAX_WAIT_SECONDS - 1), MAX_WAIT_SECONDS)
        headers["retry-after"] = str(whole)


def fits(value: Any, shape: Shape) -> bool:
    """Return whether a JSON value has the type of the model, at every depth."""
    match shape.type_name:
        case "structure":
            members: Mapping[str, Shape] = getattr(shape, "members", {})
            return isinstance(value, dict) and all(
                fits(value[key], target) for key, target in members.items() if key in value
            )
        case "list":
            member: Any = getattr(shape, "member", None)
            return isinstance(value, list) and all(fits(each, member) for each in value)
        case "map":
            of: Any = getattr(shape, "value", None)
            return isinstance(value, dict) and all(fits(each, of) for each in value.values())
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case _:
            return isinstance(value, int | float) and not isinstance(value, bool)


def clean(text: str) -> str:
    """Replace unpaired surrogates, which JSON allows and protobuf does not."""
    return text.encode("utf-8", "replace").decode()


def _clean_all(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean_all(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean_all(each) for each in value]
    return value


def _seconds(value: str, date: str | None) -> float | None:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return (until - now).total_seconds()
    except (TypeError, ValueError):  # not a date, or one without a time zone
        return None
