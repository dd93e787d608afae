"""AWS's responses: the JSON of the body instead of what botocore's parser makes of it, and streams.

`parse_body` replaces a part of botocore's parser; `StreamedBody` reads bodies that are streams.
Errors and headers are left to botocore, and are made readable for it: an error may be garbled on
its way, or not come from the service. botocore's parser would then raise arbitrary exceptions, and
status, code and Retry-After of the error would be lost.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from concurrent.futures import Executor
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from taskgate_server.aws import json_text
from taskgate_server.errors import Origin
from taskgate_server.upstream.aws_client.failures import from_botocore

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server listens before that
    from taskgate_server.aws.model import OperationModel, Shape

BODY: Final = "taskgate.body"
"""The key of botocore's parsed response under which `parse_body` stores a `ParsedBody`."""

FIRST_FINAL_STATUS: Final = 200
FIRST_ERROR_STATUS: Final = 300

REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id")
MAX_REQUEST_ID: Final = 128
MAX_WAIT_SECONDS: Final = 2**31 - 1
"""A longer Retry-After is reduced to this, the maximum of the model's integer."""

CODE_KEYS: Final = ("__type", "code", "Code")
MESSAGE_KEYS: Final = ("message", "Message", "errorMessage")
"""The keys at which botocore looks for code and message of an error."""


class InterimResponseError(Exception):
    """A response such as 103 (Early Hints), which http.client takes for the final one.

    The final response follows on the connection, which must not be used again.
    """


class ParsedBody(NamedTuple):
    """The JSON of a body."""

    value: dict[str, Any]
    size: int
    """Bytes."""
    has_odd_text: bool
    """Whether unpaired surrogates were replaced."""


def parse_body(
    operation_model: OperationModel,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_: object,
) -> None:
    """Parse the body as JSON and leave headers and errors to botocore (hook `before-parse`).

    botocore's parser drops what its model does not have, rejects a whole response for one odd
    union, takes a body that is not JSON for an empty one, and needs 15 ms for a page of 100 tasks.
    The hook has no state, since it runs in many threads.

    Raises:
        InterimResponseError: the response is not the final one.
        botocore.parsers.ResponseParserError: the body is not a JSON object, or is missing.
        botocore.exceptions.IncompleteReadError: the body ended early.
    """
    status = response_dict["status_code"]
    if status < FIRST_FINAL_STATUS:
        raise InterimResponseError
    sanitize_request_id(response_dict["headers"])
    if status >= FIRST_ERROR_STATUS:
        sanitize_error(operation_model, response_dict)
        return
    if operation_model.has_streaming_output:
        return
    body = response_dict["body"]
    _check_length(response_dict["headers"], body)
    if not body and _has_body_members(operation_model):
        raise response_parser_error("the body is empty")
    value, has_odd_text = read_json(body)
    customized_response_dict[BODY] = ParsedBody(value, len(body), has_odd_text)
    response_dict["body"] = b"{}"


def _has_body_members(operation: OperationModel) -> bool:
    shape = operation.output_shape
    members = shape.members.values() if shape is not None else ()
    return any("location" not in member.serialization for member in members)


def _check_length(headers: Mapping[str, str], body: bytes) -> None:
    """Check that the body is complete, which botocore and urllib3 do for streams only.

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
    try:
        value, has_odd_text = json_text.parse(body or b"{}")
    except (ValueError, RecursionError):
        raise response_parser_error("the body is not JSON") from None
    if not isinstance(value, dict):
        raise response_parser_error("the body is not a JSON object")
    return value, has_odd_text


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
    """A body whose bytes are read in a thread, only as fast as they are used. Close it.

    Args:
        stream: botocore's StreamingBody, which checks the Content-Length.
        executor: the threads.
        origin: the call, for errors.
    """

    def __init__(self, stream: Any, executor: Executor, origin: Origin) -> None:
        self._stream = stream
        self._executor = executor
        self._origin = origin
        self._reading: asyncio.Future[bytes] | None = None

    async def chunks(self, size: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes in chunks of `size`; the last one may be shorter.

        Raises:
            errors.TaskgateError: UNAVAILABLE, the body ended early or stalled.
        """
        loop = asyncio.get_running_loop()
        while True:
            self._reading = loop.run_in_executor(self._executor, self._stream.read, size)
            try:
                chunk = await asyncio.shield(self._reading)
            except Exception as error:
                raise from_botocore(error, self._origin) from error
            if not chunk:
                return
            yield chunk

    def close(self) -> None:
        """Close the connection to AWS, even while a thread is reading from it."""
        if self._reading is None or self._reading.done():
            self._stream.close()
            return
        # Ignore what the read in progress returns or raises.
        self._reading.add_done_callback(lambda read: read.cancelled() or read.exception())
        self._reading.add_done_callback(lambda _: self._stream.close())
        # botocore cannot interrupt a read, and urllib3's own method shuts the socket down for
        # reading only and returns the connection to the pool while AWS continues to send. A
        # complete response has no socket any more; its read ends without this.
        with suppress(AttributeError, TypeError, OSError):
            self._stream._raw_stream._sock_shutdown(socket.SHUT_RDWR)  # noqa: SLF001  # see above
