"""google.protobuf.Duration in requests."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from taskgate_server import errors


def seconds_of(request: Message, field: str) -> float | None:
    """The seconds of a request's duration; None if it is absent.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is negative.
    """
    if not request.HasField(field):
        return None
    value: Duration = getattr(request, field)
    if value.seconds < 0 or value.nanos < 0:
        raise errors.invalid_request({field: "must not be negative"})
    return value.seconds + value.nanos / 1e9
