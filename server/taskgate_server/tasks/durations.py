"""google.protobuf.Duration and Timestamp."""

from __future__ import annotations

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate_server import errors

MIN_HEARTBEAT_SECONDS: Final = 1.0
MAX_HEARTBEAT_SECONDS: Final = 60.0
DEFAULT_HEARTBEAT_SECONDS: Final = 10.0


def seconds_of(request: Message, field: str) -> float | None:
    """Return the seconds of a duration in a request; None if it is absent.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is negative.
    """
    if not request.HasField(field):
        return None
    value: Duration = getattr(request, field)
    if value.seconds < 0 or value.nanos < 0:
        raise errors.invalid_request({field: "must not be negative"})
    return value.seconds + value.nanos / 1e9


def heartbeat_seconds(request: Message) -> float:
    """Return the seconds of a request's `heartbeat_interval`, or the default if it is absent.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT, it is too short or too long.
    """
    seconds = seconds_of(request, "heartbeat_interval")
    if seconds is None:
        return DEFAULT_HEARTBEAT_SECONDS
    if not MIN_HEARTBEAT_SECONDS <= seconds <= MAX_HEARTBEAT_SECONDS:
        raise errors.invalid_request({"heartbeat_interval": "must be 1 s to 60 s"})
    return seconds


def to_timestamp(seconds: float) -> Timestamp:
    """Return seconds since 1970 as a message, to the microsecond."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return Timestamp(seconds=whole, nanos=micros * 1000)
