"""Refused calls cost as little as possible: their errors are held back, their log lines sampled.

A caller that ignores refusals could otherwise take all of the server's time, and fill its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.auth.limits import CallerLimits, TokenBuckets
from taskgate_server.calls import Call

LINES_PER_SECOND: Final = 10.0
"""Refusals of one requester with lines of their own in the log."""

ALL_LINES_PER_SECOND: Final = 100.0
"""The same of all requesters together."""

ALL: Final = ""


class Refusals:
    """What happens to a call that is refused: no identity, no permission, or too many calls.

    Args:
        limits: count the refusals of each requester; None if there are no limits.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        limits: CallerLimits | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._sleep = sleep
        self._lines = TokenBuckets(LINES_PER_SECOND)
        self._all_lines = TokenBuckets(ALL_LINES_PER_SECOND)

    async def hold(self, call: Call, error: errors.TaskgateError) -> None:
        """Decide whether a refused call is logged, and wait before its error is sent."""
        if self._limits is None or not _is_refusal(error):
            return
        if error.code is StatusCode.UNAUTHENTICATED:
            self._limits.count_refusal(call.requester)
        call.is_logged = self._lines.take(call.requester) and self._all_lines.take(ALL)
        seconds = self._limits.hold_seconds(call.requester)
        if seconds:
            await self._sleep(seconds)


def _is_refusal(error: errors.TaskgateError) -> bool:
    return error.code is StatusCode.UNAUTHENTICATED or error.reason == errors.CALLER_LIMIT
