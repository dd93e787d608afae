"""Request metadata: the target of a call, and the age and source of its response."""

from __future__ import annotations

import re
from typing import Final

from taskgate_server import errors
from taskgate_server.calls import PAYLOAD_BYTES_KEY, TARGET_KEY, CallContext
from taskgate_server.config import TARGET_NAME

MAX_AGE_KEY: Final = "taskgate-max-age"
"""Request metadata: the maximum age of the response of an AWS RPC in seconds."""

SINCE_WRITE_KEY: Final = "taskgate-since-write"
"""Request metadata: the seconds since the latest write whose effect the response must show. Another
replica may have executed the write."""

CLOCK_RATE: Final = 0.999
"""A second by the server's clock is at least this part of a second by the caller's: each runs up to
500 ppm fast or slow while it is adjusted, see adjtimex(2)."""

REPORT_SOURCE_KEY: Final = "taskgate-report-source"
"""Request metadata: `true` requests the metadata that `send_source` sends."""

MAX_DIGITS: Final = 18
"""Of a number of bytes."""


class ReadMetadata:
    """Reads the metadata that concern the content of a call."""

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT for an invalid value, which it does not quote.
        """
        for key, value in call.wire.invocation_metadata() or ():
            if key == MAX_AGE_KEY:
                call = call._replace(max_age=_seconds(key, value))
            elif key == SINCE_WRITE_KEY:
                call = call._replace(since_write=_seconds(key, value) * CLOCK_RATE)
            elif key == REPORT_SOURCE_KEY:
                call = call._replace(report_source=_boolean(value))
            elif key == PAYLOAD_BYTES_KEY:
                call = call._replace(payload_bytes=_bytes(str(value)))
            elif key == TARGET_KEY:
                call = call._replace(target=_target(str(value)))
        return call


def _target(name: str) -> str:
    if re.fullmatch(TARGET_NAME, name) is None:
        raise errors.invalid_request(
            {
                TARGET_KEY: "must be the name of a target: a lower-case letter, then at most 62"
                " letters, digits, '_' and '-'"
            }
        )
    return name


def _bytes(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_DIGITS:
        raise errors.invalid_request({PAYLOAD_BYTES_KEY: "must be a number of bytes, 0 or more"})
    return int(text)


def _boolean(value: str | bytes) -> bool:
    if value not in ("true", "false"):
        raise errors.invalid_request({REPORT_SOURCE_KEY: "must be true or false"})
    return value == "true"


def _seconds(key: str, value: str | bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise errors.invalid_request({key: "must be a number of seconds, 0 or more"})
    return seconds
