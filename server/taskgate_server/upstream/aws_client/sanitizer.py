"""AWS's error answers, and headers, made such that botocore can read them.

An error may be garbled on its way, or not come from the service at all. botocore's parser then
raises what it likes, and the error is lost: its status, its code, how long to wait. What does not
fit AWS's model is left out here; the rest arrives.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server is to listen before that
    from taskgate_server.aws.model import OperationModel, Shape

REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id")
MAX_REQUEST_ID: Final = 128
MAX_WAIT_SECONDS: Final = 2**31 - 1
"""A longer Retry-After is cut to this, which is the most that the model's integer holds."""

CODE_KEYS: Final = ("__type", "code", "Code")
MESSAGE_KEYS: Final = ("message", "Message", "errorMessage")
"""Where botocore looks for an error's code and message."""


def mend_error(operation: OperationModel, response: dict[str, Any]) -> None:
    """Makes body and headers of an error answer readable, in place."""
    mend_retry_after(response["headers"])
    try:
        value = json.loads(response["body"] or b"{}")
    except (ValueError, RecursionError):
        value = {}
    if not isinstance(value, dict):
        value = {}
    kept = {key: clean(value[key]) for key in (*CODE_KEYS, *MESSAGE_KEYS) if _is_text(value, key)}
    for shape in operation.error_shapes:
        members: Mapping[str, Shape] = getattr(shape, "members", {})
        for member, target in members.items():
            key = target.serialization.get("name", member)
            if key in value and fits(value[key], target):
                kept[key] = _clean_all(value[key])
    response["body"] = json.dumps(kept).encode()


def mend_request_id(headers: MutableMapping[str, str]) -> None:
    """Makes AWS's request id fit to be told on: short, and of printable ASCII."""
    for name in REQUEST_IDS:
        told = headers.get(name)
        if told is not None:
            headers[name] = re.sub(r"[^!-~]", "", told)[:MAX_REQUEST_ID]


def mend_retry_after(headers: MutableMapping[str, str]) -> None:
    """Makes Retry-After whole seconds, which is all that botocore can read.

    It may be a date as well (RFC 9110 section 10.2.3), and a fraction has been seen.
    """
    told = headers.get("retry-after")
    if told is None:
        return
    seconds = _seconds(told, headers.get("date"))
    del headers["retry-after"]
    if seconds is not None and math.isfinite(seconds):
        whole = min(max(math.ceil(seconds), -MAX_WAIT_SECONDS - 1), MAX_WAIT_SECONDS)
        headers["retry-after"] = str(whole)


def fits(value: Any, shape: Shape) -> bool:
    """Whether a JSON value has the type that the model says, all the way down."""
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
    """The text as UTF-8 can have it: JSON may hold half a surrogate pair, protobuf may not."""
    return text.encode("utf-8", "replace").decode()


def _clean_all(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean_all(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean_all(each) for each in value]
    return value


def _is_text(value: Mapping[str, Any], key: str) -> bool:
    return isinstance(value.get(key), str)


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
