"""The metadata of a call that say which AWS account is meant, and how old a response may be."""

from __future__ import annotations

import re
from typing import Final

from taskgate_server import errors
from taskgate_server.calls import TARGET_KEY, Call, Rpc
from taskgate_server.pipeline.stage import Enter

MAX_AGE_KEY: Final = "taskgate-max-age"
"""Request metadata: seconds, fractions allowed, that the response of an AWS RPC may be old."""

TARGET_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""What the settings allow as the name of a target; see `config.TargetName`."""


class ReadMetadata:
    """Reads the metadata of each call that concern its content."""

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        return None if rpc.is_public else _read


async def _read(call: Call) -> None:
    """Read them in one pass.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT for a value that cannot be valid. It quotes none.
    """
    if call.wire is None:
        return
    for key, value in call.wire.invocation_metadata() or ():
        if key == MAX_AGE_KEY:
            call.max_age = _seconds(value)
        elif key == TARGET_KEY:
            call.target = _target(_text(value))


def _text(value: str | bytes) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def _target(name: str) -> str:
    if TARGET_NAME.fullmatch(name) is None:
        raise errors.invalid_request(
            {
                TARGET_KEY: "must be the name of a target: a lower-case letter, then at most 62"
                " letters, digits, '_' and '-'"
            }
        )
    return name


def _seconds(value: str | bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise errors.invalid_request({MAX_AGE_KEY: "must be a number of seconds, 0 or more"})
    return seconds
