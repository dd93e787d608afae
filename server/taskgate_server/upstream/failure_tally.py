"""How many of the last calls failed, and for how many subjects."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MAX_SUBJECTS: Final = 1000
"""So many failing subjects are told apart; the oldest is forgotten first."""


class FailureTally:
    """Counts of the last calls, which decay with time.

    Args:
        window_seconds: about how long a call counts.
    """

    def __init__(self, window_seconds: float) -> None:
        self.in_a_row = 0
        """Failures since the last success."""
        self.failed = 0.0
        """Failures, decayed."""
        self.succeeded_at = -math.inf
        """When a call last succeeded."""
        self._calls = 0.0
        self._window = window_seconds
        self._at = -math.inf
        self._failing: OrderedDict[Hashable, float] = OrderedDict()

    @property
    def share(self) -> float:
        """The part of the calls that failed."""
        return self.failed / self._calls if self._calls else 0.0

    def failing(self, now: float) -> int:
        """Return how many subjects failed at their last call within the window."""
        while self._failing and now - next(iter(self._failing.values())) >= self._window:
            self._failing.popitem(last=False)
        return len(self._failing)

    def is_failing(self, subject: Hashable, now: float) -> bool:
        """Return whether a subject failed at its last call within the window."""
        return now - self._failing.get(subject, -math.inf) < self._window

    def note_failing(self, subject: Hashable, now: float) -> None:
        """Note that a call of a subject failed."""
        self._failing[subject] = now
        self._failing.move_to_end(subject)
        if len(self._failing) > MAX_SUBJECTS:
            self._failing.popitem(last=False)

    def forget(self, subject: Hashable) -> None:
        """Note that a call of a subject succeeded."""
        self._failing.pop(subject, None)

    def count(self, now: float, *, failed: bool) -> None:
        """Count a call."""
        keep = math.exp((self._at - now) / self._window)
        self._at = now
        self._calls = self._calls * keep + 1
        self.failed = self.failed * keep + failed
        self.in_a_row = self.in_a_row + 1 if failed else 0
        if not failed:
            self.succeeded_at = now
