"""How the rate of an operation decreases when AWS throttles, and increases afterwards.

Besides the rate, `LatencyEstimator` learns from the calls how long they take.

Replicas that share a quota do not know of each other, so each finds its share as TCP does: additive
increase and multiplicative decrease make all shares equal (Chiu and Jain, 1989).
tests/upstream/rate_limit/test_quota_fairness.py measures the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final

MEAN_WEIGHT: Final = 1 / 8
DEVIATION_WEIGHT: Final = 1 / 4
DEVIATIONS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """Parameters of increase and decrease, chosen by simulating 1 to 10 replicas.

    A larger decrease for higher rates (binomial congestion control, Bansal and Balakrishnan, 2001)
    keeps the shares closer together than equal decreases do, for the same number of throttles.
    """

    ceiling: float
    """Highest rate, in calls per second; inf where AWS publishes no rate."""
    floor: float
    min_decrease: float
    max_decrease: float
    decrease_per_rate: float
    """A throttle decreases the rate by this fraction per call/s, between the two bounds."""
    increase: float
    increase_fraction: float
    """Increase of the rate in calls/s per second under pressure, and as a fraction of the rate; the
    larger one applies."""
    doubling_seconds: float
    """Seconds under pressure after which the rate increases twice as fast."""

    def decreased(self, rate: float, random: Random) -> float:
        """Return the rate after a throttle. Jitter separates replicas throttled together."""
        fraction = min(max(self.decrease_per_rate * rate, self.min_decrease), self.max_decrease)
        return max(rate * (1 - fraction * random.uniform(0.9, 1.1)), self.floor)

    def increased(self, base: float, seconds: float) -> float:
        """Return the rate after `seconds` under pressure since it was decreased to `base`."""
        if base >= self.ceiling:
            return self.ceiling  # also avoids arithmetic with an infinite rate
        slope = max(self.increase, self.increase_fraction * base)
        gain = slope * (seconds + seconds**3 / (3 * self.doubling_seconds**2))
        return min(base + gain, self.ceiling)


def published_policy(rate: float, margin: float) -> RatePolicy:
    """Return the policy for a published rate; it scales so that all quotas behave alike.

    Args:
        rate: calls per second.
        margin: fraction of the rate that is left unused.
    """
    scale = max(rate, 1.0)  # a rate of 0.1/s would otherwise take hours to recover
    return RatePolicy(
        ceiling=rate * (1 - margin),
        floor=rate / 100,
        min_decrease=0.2,
        max_decrease=0.45,
        decrease_per_rate=1.75 / rate,
        increase=0.00025 * scale**2,
        increase_fraction=0.0,
        doubling_seconds=800 / scale,
    )


LEARNED_POLICY: Final = RatePolicy(
    ceiling=math.inf,
    floor=0.5,  # as in botocore's adaptive mode
    min_decrease=0.25,
    max_decrease=0.25,
    decrease_per_rate=0.0,
    increase=0.03,
    increase_fraction=0.004,  # for quotas far above 10 calls per second
    doubling_seconds=60.0,
)
"""The policy for operations without a published rate."""


class LatencyEstimator:
    """Estimates a latency that nearly all calls stay below, as TCP does (RFC 6298)."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    @property
    def upper_bound(self) -> float:
        """Seconds within which nearly all calls end; 0 before the first measurement."""
        return (self._mean or 0.0) + DEVIATIONS * self._deviation

    def record(self, seconds: float) -> None:
        """Add the latency of one call."""
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        error = abs(seconds - self._mean)
        self._deviation += DEVIATION_WEIGHT * (error - self._deviation)
        self._mean += MEAN_WEIGHT * (seconds - self._mean)
