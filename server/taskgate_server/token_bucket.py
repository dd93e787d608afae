"""A token bucket, which limits a rate and allows bursts."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Holds the tokens of one second, and at least one.

    Args:
        per_second: tokens that it gains.
        clock: monotonic seconds.
    """

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._burst = self._tokens = max(per_second, 1.0)
        self._clock = clock
        self._at = clock()

    def seconds_until(self, tokens: float) -> float:
        """Return how many seconds it takes until the bucket has so many; 0 if it has them now."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return max((tokens - self._tokens) / self._rate, 0.0)

    def take(self) -> float:
        """Take a token; return 0, or the seconds until there is one."""
        seconds = self.seconds_until(1.0)
        if not seconds:
            self._tokens -= 1.0
        return seconds

    def spend(self, tokens: float) -> None:
        """Take tokens, even if there are fewer: the bucket is in debt then."""
        self._tokens -= tokens
