"""AWS's responses: the JSON of the body instead of what botocore's parser makes of it, and streams.

`parse_body` replaces a part of botocore's parser; `StreamedBody` reads bodies that are streams.
Errors and headers are left to botocore, and are made readable for it: an error may be garbled on
its way, or not come from the service. botocore's parser would then raise arbitrary exceptions, and
status, code and Retry-After of the error would be lost.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from taskgate_server.aws import json_text
from taskgate_server.errors import Origin
from taskgate_server.upstream.aws_client import greenlets
from taskgate_server.upstream.aws_client.failures import from_botocore

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server listens before that
    from taskgate_server.aws.model import OperationModel, Shape

BODY: Final = "taskgate.body"
"""The key of botocore's parsed response under which `parse_body` stores a `ParsedBody`."""

NO_CONTENT: Final = 204
"""The status of a response that never has a body."""
FIRST_ERROR_STATUS: Final = 300

REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id")
MAX_REQUEST_ID: Final = 128
MAX_WAIT_SECONDS: Final = 2**31 - 1
"""A longer Retry-After is reduced to this, the maximum of the model's integer."""

CODE_KEYS: Final = ("__type", "code", "Code")
MESSAGE_KEYS: Final = ("message", "Message", "errorMessage")
"""The keys at which botocore looks for code and message of an error."""


class ParsedBody(NamedTuple):
    """The members in a body."""

    value: dict[str, Any]
    size: int
    """Bytes."""
    has_odd_text: bool
    """Whether characters that are invalid in UTF-8 were replaced."""
    payload: str | None = None
    """The member that is the whole body, if there is one."""


def parse_body(
    operation_model: OperationModel,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    """Parse the body as JSON and leave headers and errors to botocore (hook `before-parse`).

    botocore's parser drops what its model does not have, rejects a whole response for one odd
    union, takes a body that is not JSON for an empty one, and needs 15 ms for a page of 100 tasks.

    Raises:
        botocore.parsers.ResponseParserError: the body is not a JSON object, or is missing.
        botocore.exceptions.IncompleteReadError: the body ended early.
    """
    status = response_dict["status_code"]
    sanitize_request_id(response_dict["headers"])
    if status >= FIRST_ERROR_STATUS:
        sanitize_error(operation_model, response_dict)
        return
    payload = _payload(operation_model)
    if payload is not None:
        member, shape = payload
        customized_response_dict[BODY] = read_payload(member, shape, response_dict)
        # botocore's parsers of structures accept null, those of text and bytes nothing.
        is_json = shape.type_name not in ("blob", "string")
        response_dict["body"] = b"null" if is_json else b""
        return
    if operation_model.has_streaming_output:
        return
    body = response_dict["body"]
    _check_length(response_dict["headers"], body)
    if not body and status != NO_CONTENT and _has_body_members(operation_model):
        raise response_parser_error("the body is empty")
    value, has_odd_text = read_json(body)
    customized_response_dict[BODY] = ParsedBody(value, len(body), has_odd_text)
    response_dict["body"] = b"{}"


def _payload(operation: OperationModel) -> tuple[str, Shape] | None:
    """Return the output member that is the whole body, unless it is a stream."""
    shape = operation.output_shape
    member = shape.serialization.get("payload") if shape is not None else None
    if shape is None or member is None or shape.members[member].serialization.get("streaming"):
        return None
    return member, shape.members[member]


def read_payload(member: str, shape: Shape, response: Mapping[str, Any]) -> ParsedBody:
    """Read the body of a response that is one member: JSON, text or bytes.

    Args:
        member: its name.
        shape: its shape.
        response: botocore's dict of the response.

    Raises:
        botocore.parsers.ResponseParserError: the body is not JSON.
        botocore.exceptions.IncompleteReadError: it ended early.
    """
    body = response["body"]
    if shape.type_name == "blob":
        content: bytes = body.read()  # botocore makes a stream of it, which checks the length
        return ParsedBody({member: content}, len(content), has_odd_text=False, payload=member)
    _check_length(response["headers"], body)
    if shape.type_name == "string":
        text = body.decode(errors="replace")
        return ParsedBody({member: text}, len(body), text.encode() != body, member)
    value, has_odd_text = parse_json(body)
    return ParsedBody({member: value}, len(body), has_odd_text, member)


def _has_body_members(operation: OperationModel) -> bool:
    shape = operation.output_shape
    members = shape.members.values() if shape is not None else ()
    return any("location" not in member.serialization for member in members)


def _check_length(headers: Mapping[str, str], body: bytes) -> None:
    """Check that the body is complete, which botocore does for streams only.

    Raises:
        botocore.exceptions.IncompleteReadError: the body ended early.
    """
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > len(body) and "Content-Encoding" not in headers:
        from botocore.exceptions import IncompleteReadError  # noqa: PLC0415  # see `factory`

        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(length))


def read_json(body: bytes) -> tuple[dict[str, Any], bool]:
    """Parse a body as JSON; integers stay exact whatever their size.

    Returns:
        The object, and whether it had unpaired surrogates, which are replaced.

    Raises:
        botocore.parsers.ResponseParserError: it is not a JSON object.
    """
    value, has_odd_text = parse_json(body)
    if not isinstance(value, dict):
        raise response_parser_error("the body is not a JSON object")
    return value, has_odd_text


def parse_json(body: bytes) -> tuple[Any, bool]:
    """Parse a body as JSON; an empty one is an object without members.

    Returns:
        The value, and whether it had unpaired surrogates, which are replaced.

    Raises:
        botocore.parsers.ResponseParserError: it is not JSON.
    """
    try:
        return json_text.parse(body or b"{}")
    except (ValueError, RecursionError):
        raise response_parser_error("the body is not JSON") from None


def response_parser_error(message: str) -> Exception:
    """Return botocore's own error for an unreadable response."""
    from botocore.parsers import ResponseParserError  # noqa: PLC0415  # see `factory`

    return ResponseParserError(message)


def sanitize_error(operation: OperationModel, response: dict[str, Any]) -> None:
    """Make body and headers of an error response readable, in place."""
    sanitize_retry_after(response["headers"])
    try:
        value, _ = json_text.parse(response["body"] or b"{}")
    except (ValueError, RecursionError):
        value = {}
    if not isinstance(value, dict):
        value = {}
    result = {
        key: value[key] for key in (*CODE_KEYS, *MESSAGE_KEYS) if isinstance(value.get(key), str)
    }
    for shape in operation.error_shapes:
        members: Mapping[str, Shape] = getattr(shape, "members", {})
        for member, target in members.items():
            key = target.serialization.get("name", member)
            if key in value and fits(value[key], target):
                result[key] = value[key]
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


class StreamedBody:
    """A body whose bytes are read only as fast as they are used. Close it.

    Args:
        stream: botocore's StreamingBody, which checks the Content-Length.
        origin: the call, for errors.
    """

    def __init__(self, stream: Any, origin: Origin) -> None:
        self._stream = stream
        self._origin = origin

    async def chunks(self, size: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes in chunks of `size`; the last one may be shorter.

        Raises:
            errors.TaskgateError: UNAVAILABLE, the body ended early or stalled.
        """
        while True:
            try:
                chunk = await greenlets.run(self._stream.read, size)
            except Exception as error:
                raise from_botocore(error, self._origin) from error
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        """Close the connection to AWS, even while the body is being read."""
        self._stream.close()
