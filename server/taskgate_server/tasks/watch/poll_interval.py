"""When pollers call AWS: the interval of each poller, and one budget for all of them.

PollInterval   the interval between two polls of one poller
Budget         the rate of calls of all pollers of an AWS service
Pace           how strictly calls keep to the budget
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

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
BURST_CALLS: Final = 3
"""Calls that the pollers of an AWS service may send at once after a pause."""
ALLOWANCE_SECONDS: Final = 0.5
"""How far calls for which a watcher waits may overdraw the budget."""


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
        """Return the seconds until the next poll."""
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


class Budget:
    """The rate of calls of all pollers of one AWS service.

    Args:
        rate: calls per second; inf for calls outside a budget.
        clock: monotonic seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.spacing = 1 / rate
        """Seconds between two calls."""
        self._clock = clock
        self._free_at = float("-inf")

    def spend(self) -> float:
        """Count a call, even beyond the budget; return the seconds until the budget covers it."""
        now = self._clock()
        start = max(self._free_at, now)
        self._free_at = start + self.spacing
        return start - now


@dataclass(frozen=True, slots=True)
class Pace:
    """Delays the calls of a poller."""

    budget: Budget
    """Counts the calls."""
    allowance: float
    """Seconds by which a call may be ahead of the budget."""

    async def take(self) -> None:
        """Wait until a call may be sent, in the order of the requests."""
        delay = self.budget.spend() - self.allowance
        if delay > 0:
            await asyncio.sleep(delay)
