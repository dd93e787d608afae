"""Token buckets by key: how many events per second each address or caller may cause."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_KEYS: Final = 10_000
"""The bucket used least recently is dropped, which fills it up again."""


class TokenBuckets:
    """One token bucket for each key. A bucket holds the tokens of one second, and at least one.

    Args:
        per_second: tokens that a bucket gains.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._burst = max(per_second, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_until_token(self, key: str) -> float:
        """Return how long it takes until the key has a token; 0 if it has one now."""
        return max((1.0 - self._tokens(key)) / self._rate, 0.0)

    def take(self, key: str) -> bool:
        """Take a token; return whether there was one."""
        tokens = self._tokens(key)
        if tokens < 1.0:
            return False
        self._buckets[key] = tokens - 1.0, self._clock()
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        return True

    def _tokens(self, key: str) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return self._burst
        tokens, at = bucket
        return min(self._burst, tokens + (self._clock() - at) * self._rate)
