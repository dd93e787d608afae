"""Refused calls: their errors are delayed and their log lines sampled.

A caller that ignores refusals could otherwise use all of the server's time and fill its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.auth.limits import CallerLimits, address_of, token_buckets
from taskgate_server.calls import CallContext
from taskgate_server.token_bucket import TokenBucket

LINES_PER_SECOND: Final = 10.0
"""Refusals of one requester that have log lines of their own."""

ALL_LINES_PER_SECOND: Final = 100.0
"""Refusals of all requesters that have log lines of their own."""


class Refusals:
    """Delays the errors of unauthenticated calls and of calls over a limit.

    Args:
        limits: counts the refusals of each requester; None for no limits.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        limits: CallerLimits | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._sleep = sleep
        self._lines = token_buckets(LINES_PER_SECOND)
        self._all_lines = TokenBucket(ALL_LINES_PER_SECOND)

    async def hold(self, call: CallContext, error: errors.TaskgateError) -> None:
        """Decide whether a refused call is logged, and wait before its error is sent."""
        is_unauthenticated = error.code is StatusCode.UNAUTHENTICATED
        is_refusal = is_unauthenticated or isinstance(error, errors.CallerLimitError)
        if self._limits is None or not is_refusal:
            return
        requester = call.requester or address_of(call.wire.peer())
        if is_unauthenticated:
            self._limits.count_refusal(requester)
        call.record.is_logged = not (self._lines(requester).take() or self._all_lines.take())
        seconds = self._limits.hold_seconds(requester)
        if seconds:
            await self._sleep(seconds)
