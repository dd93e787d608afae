"""How often pollers ask: each in a rhythm of its own, all of them within one budget.

Rhythm   the pause until a poller asks again
Budget   how many calls all pollers of an AWS service make
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, Protocol

MIN_SECONDS: Final = 1.0
"""After something has changed."""
BUSY_SECONDS: Final = 5.0
"""The longest while a task is on its way."""
QUIET_SECONDS: Final = 30.0
"""The longest when all have settled."""
FAILED_SECONDS: Final = 10.0
"""The longest after failures; the gateway's circuit breaker and quota spare AWS more."""
GROWTH: Final = 1.4
JITTER: Final = 0.15
FAILURE_GROWTH: Final = 2.0
ALLOWANCE_SECONDS: Final = 0.5
"""By how much calls that somebody waits for may overdraw the budget."""


class PollInterval:
    """The pauses of one poller: short after news, growing while there are none.

    Args:
        random: for jitter, so that the pollers of many servers do not ask at once.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pause = MIN_SECONDS
        self._failures = 0

    def after(self, *, news: bool, moving: bool) -> float:
        """Seconds until AWS is to be asked again.

        Args:
            news: whether anything has changed.
            moving: whether anything can change by itself.
        """
        self._failures = 0
        longest = BUSY_SECONDS if moving else QUIET_SECONDS
        self._pause = MIN_SECONDS if news else min(self._pause * GROWTH, longest)
        return self._jittered(self._pause)

    def after_failure(self) -> float:
        """The same after AWS could not be asked."""
        self._failures += 1
        pause = MIN_SECONDS * FAILURE_GROWTH ** min(self._failures - 1, 10)
        return self._jittered(min(pause, FAILED_SECONDS))

    def quicken(self) -> None:
        """Something is known to be about to change."""
        self._pause = MIN_SECONDS

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + self._random.uniform(-JITTER, JITTER))


class Pace(Protocol):
    """What a poller asks before it calls AWS."""

    async def take(self, calls: int = 1) -> None:
        """Waits until so many calls may be made."""


class Budget:
    """Calls that the pollers of one AWS service make: at a steady rate, a few at once.

    Args:
        rate: calls per second.
        burst: calls that may be made at once after a pause.
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
        """Waits until so many calls may be made; first come, first served."""
        delay = self.spend(calls) - self._slack
        if delay > 0:
            await self._sleep(delay)

    def spend(self, calls: int = 1) -> float:
        """Counts calls, whatever the budget; returns in how many seconds there is room for them."""
        now = self._clock()
        start = max(self._free_at, now)
        self._free_at = start + calls * self._spacing
        return start - now


class AtOnce:
    """The pace of calls that somebody waits for: they do not wait, but others do for them.

    Args:
        budget: that pays for them; None for nothing of the kind.
        sleep: waits, once there are more than a few.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._budget = budget
        self._sleep = sleep

    async def take(self, calls: int = 1) -> None:
        """Waits only when the budget is overdrawn by more than ALLOWANCE_SECONDS."""
        if self._budget is not None:
            late = self._budget.spend(calls) - ALLOWANCE_SECONDS
            if late > 0:
                await self._sleep(late)
