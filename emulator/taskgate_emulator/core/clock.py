"""The emulator's source of time: a function that returns the current time as an aware datetime."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["Clock", "ManualClock", "system_clock"]

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the real time."""
    return datetime.now(UTC)


class ManualClock:
    """A clock that changes only by `advance`.

    Args:
        start: the initial time; aware. By default a fixed day, so that responses are reproducible.
    """

    def __init__(self, start: datetime = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a ManualClock must have a time zone")
        self._now = start

    def __call__(self) -> datetime:
        """Return the current time of this clock."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        if seconds < 0:
            raise ValueError("seconds must not be negative: time cannot go backwards")
        self._now += timedelta(seconds=seconds)
