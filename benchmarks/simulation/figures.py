"""What one run of the simulation comes to, in numbers that can be kept and compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.simulation.fleet import Fleet

Pair: TypeAlias = tuple[float, float]
"""The median, and the 99th percentile; inf where there was nothing to be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of the seconds that count."""

    calls: float
    """Calls to AWS in a second, with those that it throttled."""
    by_operation: dict[str, float]
    throttled: float
    """The part of them that AWS throttled."""
    shares: list[float]
    """Each replica's part of the calls that AWS answered."""
    age: Pair
    """Seconds since the sweep began that a watcher's state is from, as reported by heartbeats; inf
    without a snapshot."""
    delay: Pair
    """Seconds from a change to a watcher that receives it."""
    without: float
    """The part of the watchers that had nothing at the end."""
    first: Pair
    """Seconds from a watcher's arrival to its snapshot, of those that got one."""
    refused_watches: float
    """Watches refused in a minute."""
    read: float
    """Reads in a second."""
    refused_reads: float
    """The part of them that was refused."""
    read_wait: Pair
    read_age: Pair
    busiest: float
    """The busiest replica's part of the reads, or of the streams."""
    pollers: int
    tasks: int
    """Tasks that pollers keep, in all replicas."""
    most_tasks: int
    """The same in the replica that has the most."""
    most_streams: int

    @property
    def fairness(self) -> float:
        """Return Jain's index of the replicas' shares: 1 if all are equal, 1/n if one has all."""
        squares = sum(share**2 for share in self.shares)
        return sum(self.shares) ** 2 / (len(self.shares) * squares) if squares else 1.0


def percentile(values: Iterable[float], part: float) -> float:
    """Return a percentile; inf without values."""
    known = sorted(values)
    return known[min(len(known) - 1, int(len(known) * part))] if known else math.inf


def pair(values: Iterable[float]) -> Pair:
    """Return median and 99th percentile."""
    known = sorted(values)
    return percentile(known, 0.5), percentile(known, 0.99)


def figures(fleet: Fleet, since: float | None = None, until: float | None = None) -> Figures:
    """Return the figures of a scene that has ended.

    Args:
        fleet: that ran it.
        since: when the seconds begin that count; the end of the warm-up if None.
        until: when they end; the scene's end if None.
    """
    scene, seen, standing = fleet.scene, fleet.seen, fleet.standing
    begin, end = scene.warm_up if since is None else since, scene.until if until is None else until
    seconds = end - begin
    sent = [each for each in fleet.account.sent if begin <= each.at < end]
    answered = Counter(each.replica for each in sent if not each.throttled)
    reads = [read for read in seen.reads if begin <= read[0] < end]
    refused = sum(begin <= at < end for at in seen.refused_reads)
    watches = sum(begin <= at < end for at in seen.refused_watches)
    busy = [replica.reads for replica in fleet.replicas] if reads else standing.streams
    return Figures(
        calls=len(sent) / seconds,
        by_operation=_per_second((each.operation for each in sent), seconds),
        throttled=_part(sum(each.throttled for each in sent), len(sent)),
        shares=[
            _part(answered[replica.number], answered.total())
            for replica in fleet.replicas
            if not replica.is_dead
        ],
        age=pair(age for each in fleet.samples if begin <= each.at < end for age in each.ages),
        delay=pair(delay for at, delay in seen.delays if begin <= at < end),
        without=_part(standing.without, len(fleet.watchers)),
        first=pair(seen.first_answers),
        refused_watches=watches / seconds * 60,
        read=(len(reads) + refused) / seconds,
        refused_reads=_part(refused, len(reads) + refused),
        read_wait=pair(read[1] for read in reads),
        read_age=pair(read[2] for read in reads),
        busiest=_part(max(busy), sum(busy)),
        pollers=sum(standing.pollers),
        tasks=sum(standing.tasks),
        most_tasks=max(standing.tasks),
        most_streams=max(standing.streams),
    )


def served_in(fleet: Fleet, window: float) -> Sequence[float]:
    """Return the successful AWS calls per second in each window."""
    windows = Counter(int(each.at // window) for each in fleet.account.sent if not each.throttled)
    return [windows[number] / window for number in range(int(fleet.scene.until // window))]


def _per_second(names: Iterable[str], seconds: float) -> dict[str, float]:
    return {name: count / seconds for name, count in sorted(Counter(names).items())}


def _part(some: float, whole: float) -> float:
    return some / whole if whole else 0.0
