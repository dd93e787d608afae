"""Messages in proto3 JSON, converted to and from protobuf's binary format.

The pipeline and all behaviours work on the binary format, so that a call over JSON is the same call
as one over gRPC, and shares its caches. Conversions are cached, since clients poll: the same few
bytes come again and again. https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import Rpc
from taskgate_server.large_requests import LargeRequests
from taskgate_server.wire_records import MAX_RECORDS

MAX_CACHE_BYTES: Final = 16 * 1024 * 1024
"""Of the requests, and of the responses."""

MAX_CACHED_BYTES: Final = 64 * 1024
"""Larger messages are not cached."""

REQUEST_WEIGHT: Final = 8
RESPONSE_WEIGHT: Final = 8
"""How many times as long a byte takes as one of a binary request. `LargeRequests` decides by that
whether a message is converted beside the event loop."""

MIN_VALUE_BYTES: Final = 2
MAX_FAULT_CHARACTERS: Final = 300

_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or the rest of the data after a string without end: each byte is read once."""

_UNCONVERTIBLE: Final = (
    json_format.ParseError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
)
"""What `json_format.Parse` raises for a value of another type than the field's."""


class LoneSurrogates:
    """Finds what the library's pattern of the same purpose finds, in a hundredth of its time."""

    def search(self, text: str) -> UnicodeEncodeError | None:
        """Return where a text has half of a surrogate pair; None if nowhere."""
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                return error
        return None


# The library's pattern holds the interpreter for 0.13 s for a text of 4 MiB, and all other calls
# wait: a thread would not help.
json_format._UNPAIRED_SURROGATE_PATTERN = LoneSurrogates()  # type: ignore[attr-defined]  # noqa: SLF001


class JsonMessages:
    """Converts the messages of one listener; a `calls.Encoding`.

    Args:
        large: converts large messages beside the event loop.
    """

    weight = REQUEST_WEIGHT

    def __init__(self, large: LargeRequests) -> None:
        self._large = large
        self._requests: BoundedCache[tuple[type[Message], bytes], bytes] = BoundedCache(
            MAX_CACHE_BYTES
        )
        self._responses: BoundedCache[tuple[type[Message], bytes], bytes] = BoundedCache(
            MAX_CACHE_BYTES
        )

    def to_binary(self, kind: type[Message], data: bytes) -> bytes:
        """Return a request in the binary format.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT, it is malformed or has too many values.
        """
        key = kind, data
        binary = self._requests.get(key)
        if binary is None:
            binary = _parse(kind, data).SerializeToString(deterministic=True)
            if len(data) <= MAX_CACHED_BYTES:
                self._requests.put(key, binary, len(data) + len(binary))
        return binary

    async def from_binary(self, rpc: Rpc, data: bytes, peer: str) -> bytes:
        """Return a response in JSON.

        Args:
            rpc: whose response it is.
            data: the response in the binary format.
            peer: the large responses of one peer are converted one after the other.
        """
        key = rpc.response_class, data
        text = self._responses.get(key)
        if text is not None:
            return text
        convert = partial(_format, rpc.response_class, data)
        in_thread = self._large.of(peer, RESPONSE_WEIGHT * len(data))
        text = convert() if in_thread is None else await in_thread(convert)
        if len(text) <= MAX_CACHED_BYTES:
            self._responses.put(key, text, len(data) + len(text))
        return text


def _parse(kind: type[Message], data: bytes) -> Message:
    if exceeds(data):
        fault = f"has more than {MAX_RECORDS} values"
        raise errors.invalid_request({"": fault}, is_complete=False)
    message = kind()
    try:
        text = data.decode()
        if not text.lstrip().startswith("{"):  # the library takes an empty list, too
            raise ValueError("must be an object, such as {}")
        json_format.Parse(text, message)
    except RecursionError:
        raise errors.invalid_request({"": "is nested too deeply"}) from None
    except _UNCONVERTIBLE as error:
        name = kind.DESCRIPTOR.full_name
        raise errors.invalid_request({"": f"is no {name} in JSON: {_fault(error)}"}) from None
    return message


def _fault(error: Exception) -> str:
    """Return what is wrong, without the lists of fields that the library adds."""
    lines = str(error).splitlines()
    return lines[0].rstrip(".")[:MAX_FAULT_CHARACTERS] if lines else type(error).__name__


def exceeds(data: bytes, limit: int = MAX_RECORDS) -> bool:
    """Return whether a JSON text has more values than the limit. Reads each byte once."""
    if len(data) < MIN_VALUE_BYTES * limit:
        return False
    outside = _STRING.sub(b"", data)
    return sum(map(outside.count, (b",", b"[", b"{"))) > limit


def _format(kind: type[Message], data: bytes) -> bytes:
    return to_json(kind.FromString(data))


def to_json(message: Message) -> bytes:
    """Return a message in JSON, without line breaks."""
    fields: dict[str, Any] = json_format.MessageToDict(message)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
