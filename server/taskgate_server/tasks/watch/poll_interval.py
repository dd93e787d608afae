"""When pollers call AWS: the interval of each poller, and one budget for all of them.

PollInterval   the interval between two polls of one poller
Budget         the rate of calls of all pollers of an AWS service
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, Protocol

MIN_SECONDS: Final = 1.0
"""The interval after a change."""
BUSY_SECONDS: Final = 5.0
"""The maximum interval while a task has not settled."""
QUIET_SECONDS: Final = 30.0
"""The maximum interval when all tasks have settled."""
FAILED_SECONDS: Final = 10.0
"""The maximum interval after failures; the gateway reduces calls further."""
GROWTH: Final = 1.4
JITTER: Final = 0.15
FAILURE_GROWTH: Final = 2.0
ALLOWANCE_SECONDS: Final = 0.5
"""How far immediate calls may overdraw the budget."""


class PollInterval:
    """The interval of one poller: short after a change, and growing without changes.

    Args:
        random: for jitter, so that the pollers of several servers do not call AWS simultaneously.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._seconds = MIN_SECONDS
        self._failures = 0

    def next(self, *, changed: bool, unsettled: bool) -> float:
        """Return the seconds until the next poll.

        Args:
            changed: whether the latest poll has found changes.
            unsettled: whether a task has not settled.
        """
        self._failures = 0
        maximum = BUSY_SECONDS if unsettled else QUIET_SECONDS
        self._seconds = MIN_SECONDS if changed else min(self._seconds * GROWTH, maximum)
        return self._with_jitter(self._seconds)

    def back_off(self) -> float:
        """Return the seconds until the next poll after a failure."""
        self._failures += 1
        seconds = MIN_SECONDS * FAILURE_GROWTH ** min(self._failures - 1, 10)
        return self._with_jitter(min(seconds, FAILED_SECONDS))

    def reset(self) -> None:
        """Return to the shortest interval, because a change is expected."""
        self._seconds = MIN_SECONDS

    def _with_jitter(self, seconds: float) -> float:
        return seconds * (1 + self._random.uniform(-JITTER, JITTER))


class Pace(Protocol):
    """Delays the calls of a poller."""

    async def take(self, calls: int = 1) -> None:
        """Wait until this number of calls may be sent."""


class Budget:
    """The rate of calls of all pollers of one AWS service, with a small burst.

    Args:
        rate: calls per second.
        burst: calls that may be sent at once after a pause.
        clock: monotonic seconds.
        sleep: waits.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._spacing = 1 / rate
        self._slack = (burst - 1) / rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = float("-inf")

    async def take(self, calls: int = 1) -> None:
        """Wait until this number of calls may be sent, in the order of the requests."""
        delay = self.spend(calls) - self._slack
        if delay > 0:
            await self._sleep(delay)

    def spend(self, calls: int = 1) -> float:
        """Count calls, even beyond the budget; return the seconds until the budget covers them."""
        now = self._clock()
        start = max(self._free_at, now)
        self._free_at = start + calls * self._spacing
        return start - now


class Immediate:
    """The pace of calls for which a watcher waits: only later calls are delayed.

    Args:
        budget: counts the calls; None for calls outside the budget.
        sleep: waits while the budget is overdrawn too far.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._budget = budget
        self._sleep = sleep

    async def take(self, calls: int = 1) -> None:
        """Wait only while the budget is overdrawn by more than ALLOWANCE_SECONDS."""
        if self._budget is not None:
            overdraft = self._budget.spend(calls) - ALLOWANCE_SECONDS
            if overdraft > 0:
                await self._sleep(overdraft)
