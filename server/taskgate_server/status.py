"""Converts a `TaskgateError` to google.rpc.Status, small enough for every client.

Errors travel in HTTP/2 trailers. By default clients accept 8 KiB of them (gRPC's channel argument
`grpc.max_metadata_size`); beyond that they raise an error of their own instead.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from taskgate_server.errors import TaskgateError

MAX_MESSAGE_BYTES: Final = 1500
"""The limit of the message, encoded as a header."""

MAX_STATUS_BYTES: Final = 4500
"""The limit of the whole status. It is sent beside the message, in base64, a third longer."""

MAX_METADATA_VALUE_BYTES: Final = 256
MAX_METADATA_ENTRIES: Final = 12
LEFT_OUT: Final = "violations_left_out"
"""The metadata key with the number of omitted field violations."""


def to_status(error: TaskgateError, call_id: str) -> status_pb2.Status:
    """Return an error with all its details.

    The message, metadata values and the list of a BadRequest's violations are truncated to the
    limits of this module; ErrorInfo then has the number of omitted violations.

    Args:
        error: the error.
        call_id: the id in RequestInfo if there is none of AWS's.
    """
    metadata = {
        key: truncate(value, MAX_METADATA_VALUE_BYTES)
        # The last entries are Taskgate's own.
        for key, value in list(error.metadata.items())[-MAX_METADATA_ENTRIES:]
    }
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=error.domain, metadata=metadata)
    request = error_details_pb2.RequestInfo(request_id=error.aws_request_id or call_id)
    details = [deepcopy(detail) for detail in error.details]
    status = _pack(error, [info, request, *details])
    left_out = 0
    while status.ByteSize() > MAX_STATUS_BYTES:
        longest = max(details, key=lambda detail: detail.ByteSize(), default=None)
        if not isinstance(longest, error_details_pb2.BadRequest) or not longest.field_violations:
            return _pack(error, [info, request])
        excess = status.ByteSize() - MAX_STATUS_BYTES
        while excess > 0 and longest.field_violations:
            excess -= longest.field_violations[-1].ByteSize()
            del longest.field_violations[-1]
            left_out += 1
        info.metadata[LEFT_OUT] = str(left_out)
        status = _pack(error, [info, request, *details])
    return status


def truncate(text: str, limit: int) -> str:
    """Return the beginning of a text that takes at most `limit` bytes as an HTTP/2 header."""
    size = 0
    for index, character in enumerate(text):
        # gRPC percent-encodes all but printable ASCII, byte by byte.
        is_plain = character.isascii() and character.isprintable() and character != "%"
        size += 1 if is_plain else 3 * len(character.encode("utf-8", "replace"))
        if size > limit:
            return text[: max(index - 3, 0)] + "..."
    return text


def _pack(error: TaskgateError, details: list[Message]) -> status_pb2.Status:
    message = truncate(error.message, MAX_MESSAGE_BYTES)
    status = status_pb2.Status(code=error.code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status
