"""How a rate falls when AWS throttles, and rises again; fair between replicas.

Nobody tells a replica who else uses a quota, so it finds its part as TCP does: additive increase
and multiplicative decrease make all parts equal (Chiu and Jain 1989). For the figures see
tests/upstream/rate_limit/test_quota_fairness.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """How a rate moves, chosen by simulation of 1 to 10 replicas.

    Deeper cuts for who has more (binomial congestion control, Bansal and Balakrishnan 2001) keep
    the parts closer together than equal cuts do, for the same number of throttles.
    """

    ceiling: float
    """Calls per second, never passed; inf where AWS publishes no rate."""
    floor: float
    shallow: float
    deep: float
    depth: float
    """A throttle takes this part of the rate for each call per second, from shallow to deep."""
    climb: float
    climb_share: float
    """Calls per second won in a second under pressure, and the same as a part of the rate."""
    patience: float
    """Seconds under pressure after which the climb is twice as steep."""

    def cut(self, rate: float, random: Random) -> float:
        """The rate after a throttle; replicas that are throttled together move apart."""
        part = min(max(self.depth * rate, self.shallow), self.deep) * random.uniform(0.9, 1.1)
        return max(rate * (1 - part), self.floor)

    def climbed(self, low: float, seconds: float) -> float:
        """The rate after `seconds` under pressure since a cut to `low`; it accelerates."""
        if low >= self.ceiling:
            return self.ceiling  # also of an unlimited rate, with which there is no arithmetic
        climb = max(self.climb, self.climb_share * low)
        return min(low + climb * (seconds + seconds**3 / (3 * self.patience**2)), self.ceiling)


def published_law(rate: float, margin: float) -> Law:
    """For a published `rate`: in calls, not in seconds, so that it is the same for each quota."""
    brisk = max(rate, 1.0)  # one call in ten seconds would take hours to climb back
    climb, patience = 0.00025 * brisk**2, 800 / brisk
    ceiling = rate * (1 - margin)
    shape = {"shallow": 0.2, "deep": 0.45, "depth": 1.75 / rate, "climb_share": 0.0}
    return Law(ceiling=ceiling, floor=rate / 100, climb=climb, patience=patience, **shape)


LEARNED_LAW: Final = Law(
    ceiling=math.inf,
    floor=0.5,  # as in botocore's adaptive mode
    shallow=0.25,
    deep=0.25,
    depth=0.0,
    climb=0.03,
    climb_share=0.004,  # for quotas far above 10 calls per second
    patience=60.0,
)
