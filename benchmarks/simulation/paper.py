"""The same on paper: what is to be expected of calls, ages and memory, by arithmetic alone.

`rhythm` has the pauses of pollers, `doors` the slots of batches; nothing of them is repeated here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from benchmarks.simulation.account import ONE_WAY_SECONDS
from taskgate_server.aws_connections import BATCH_LINGER_SECONDS, BATCH_SLOTS
from taskgate_server.config import AwsSettings
from taskgate_server.tasks.watch.poll_interval import BUSY_SECONDS, GROWTH, MIN_SECONDS

CALL_SECONDS: Final = sum(ONE_WAY_SECONDS)
"""There and back, in the mean."""


@dataclass(frozen=True, slots=True)
class PollInterval:
    """How a poller polls without any delay."""

    intervals: tuple[tuple[float, float], ...]
    """Seconds between two sweeps, and which part of the sweeps has them."""

    @property
    def mean(self) -> float:
        """Return the seconds between two sweeps."""
        return sum(seconds * part for seconds, part in self.intervals)

    def age(self, part: float) -> float:
        """Return a percentile of the age over time: longer intervals weigh more."""
        low, high = 0.0, max(seconds for seconds, _ in self.intervals)
        while high - low > 1e-3:  # noqa: PLR2004  # a millisecond
            middle = (low + high) / 2
            covered = sum(min(seconds, middle) * share for seconds, share in self.intervals)
            low, high = (middle, high) if covered < part * self.mean else (low, middle)
        return low + CALL_SECONDS


def rhythm(changes: float, sweep: float = CALL_SECONDS) -> PollInterval:
    """Return the pauses of a poller whose parent changes at random, that often per second.

    A chain: after a sweep with news the pause is the shortest, after one without it grows.
    """
    pauses = [MIN_SECONDS]
    while pauses[-1] < BUSY_SECONDS:
        pauses.append(min(pauses[-1] * GROWTH, BUSY_SECONDS))
    quiet = [math.exp(-changes * (pause + sweep)) for pause in pauses]
    weights = [1.0]
    for before in quiet[:-1]:
        weights.append(weights[-1] * before)
    weights[-1] /= max(1 - quiet[-1], 1e-9)  # it stays there until there is news
    total = sum(weights)
    return PollInterval(
        tuple(
            (pause + sweep, weight / total) for pause, weight in zip(pauses, weights, strict=True)
        )
    )


def pollers(parents: int, watchers: int, replicas: int, *, ring: bool) -> float:
    """Return the number of pollers: with ring-hash one for each parent.

    Without it each watcher of a parent is on a replica at random, and each replica that has one
    polls: the more watch, the more replicas do, until all do.
    """
    if ring:
        return float(parents)
    return parents * replicas * (1 - (1 - 1 / replicas) ** watchers)


@dataclass(frozen=True, slots=True)
class Polling:
    """The calls of pollers to AWS."""

    wanted: float
    """Calls in a second if nothing held them up."""
    calls: float
    """With the budget of each replica's pollers, and AWS's quota."""
    age: tuple[float, float]
    """Median and 99th percentile of the seconds since a parent was last looked at."""


def polling(
    count: float, replicas: int, pace: PollInterval, quota: float, cost: float = 1.0
) -> Polling:
    """Return the calls of so many pollers to AWS.

    Args:
        count: of pollers, in all replicas.
        replicas: over which they are spread evenly.
        pace: of one that nothing holds up.
        quota: calls in a second that AWS allows.
        cost: calls of a sweep.
    """
    wanted = count * cost / pace.mean
    budget = replicas * AwsSettings().watch_calls_per_second
    calls = min(wanted, budget, quota)
    if calls == wanted:
        return Polling(wanted, calls, (pace.age(0.5), pace.age(0.99)))
    interval = count * cost / calls
    return Polling(wanted, calls, (interval / 2 + CALL_SECONDS, interval * 0.99 + CALL_SECONDS))


def request_rate(things: int, readers: float) -> float:
    """Return the expected number of distinct things that readers choose at random."""
    return things * (1 - math.pow(1 - 1 / things, readers))


def misses(rate: float, things: float, max_age: float, replicas: int, *, ring: bool) -> float:
    """Return the reads per second that no cached response serves.

    Each thing is read `rate / things` times a second. Its answer is good for `max_age`, and then
    the next reader causes another call: so often as an interval and one wait go into a second.
    Without ring-hash each replica does so for itself, with its part of the readers.
    """
    caches = 1 if ring else replicas
    each = rate / things / caches
    return things * caches * each / (1 + each * max_age)


def batched_calls(missed: float, replicas: int) -> float:
    """Return the calls per second for that many single reads in batches.

    A replica has a few slots, and each is busy for one call: more reads make larger batches.
    """
    most = BATCH_SLOTS / (CALL_SECONDS + BATCH_LINGER_SECONDS)
    return min(missed, most * replicas)
