"""A `TaskgateError` as google.rpc.Status, small enough for every client.

Errors travel in HTTP/2 trailers. A client takes 8 KiB of them by default (gRPC's channel argument
`grpc.max_metadata_size`), and where there is more it shows an error of its own in place of ours.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from taskgate_server.errors import TaskgateError

MESSAGE_BYTES = 1500
"""The message, as its header is encoded."""

STATUS_BYTES = 4500
"""The whole status; it goes in base64, a third longer, beside the message."""

METADATA_VALUE_BYTES = 256
METADATA_ENTRIES = 12
LEFT_OUT = "violations_left_out"


def to_status(error: TaskgateError, call_id: str) -> status_pb2.Status:
    """The error with all its details; RequestInfo has AWS's request id, else ours.

    What is too long is cut: the message, values of metadata, and the last violations of a
    BadRequest, of which ErrorInfo then tells the number.
    """
    metadata = {
        key: cut(value, METADATA_VALUE_BYTES)
        # The last entries are Taskgate's own.
        for key, value in list(error.metadata.items())[-METADATA_ENTRIES:]
    }
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=error.domain, metadata=metadata)
    request = error_details_pb2.RequestInfo(request_id=error.aws_request_id or call_id)
    details = [_copy(detail) for detail in error.details]
    status = _pack(error, [info, request, *details])
    left_out = 0
    while status.ByteSize() > STATUS_BYTES:
        longest = max(details, key=lambda detail: detail.ByteSize(), default=None)
        if not isinstance(longest, error_details_pb2.BadRequest) or not longest.field_violations:
            return _pack(error, [info, request])
        excess = status.ByteSize() - STATUS_BYTES
        while excess > 0 and longest.field_violations:
            excess -= longest.field_violations[-1].ByteSize()
            del longest.field_violations[-1]
            left_out += 1
        info.metadata[LEFT_OUT] = str(left_out)
        status = _pack(error, [info, request, *details])
    return status


def cut(text: str, limit: int) -> str:
    """The beginning of the text that takes at most `limit` bytes as an HTTP/2 header."""
    size = 0
    for index, character in enumerate(text):
        # gRPC percent-encodes all but printable ASCII, byte by byte.
        plain = character.isascii() and character.isprintable() and character != "%"
        size += 1 if plain else 3 * len(character.encode("utf-8", "replace"))
        if size > limit:
            return text[: max(index - 3, 0)] + "..."
    return text


def _copy(detail: Message) -> Message:
    copy = type(detail)()
    copy.CopyFrom(detail)
    return copy


def _pack(error: TaskgateError, details: list[Message]) -> status_pb2.Status:
    message = cut(error.message, MESSAGE_BYTES)
    status = status_pb2.Status(code=error.code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status
