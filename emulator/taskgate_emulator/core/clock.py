"""Where the emulator's time comes from: anything that answers "now" as an aware datetime."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["Clock", "ManualClock", "system_clock"]

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The real time."""
    return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is told to move; every task moves with it at once.

    Args:
        start: the first answer; aware. A fixed day by default, so that answers repeat exactly.
    """

    def __init__(self, start: datetime = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a ManualClock needs a time zone")
        self._now = start

    def __call__(self) -> datetime:
        """The time it was last set to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        if seconds < 0:
            raise ValueError("time cannot go backwards: every timeline is built on that")
        self._now += timedelta(seconds=seconds)
