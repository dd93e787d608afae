"""What happens in a scene besides its callers: a quota that changes, a replica that dies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from benchmarks.simulation.clock import virtually
from benchmarks.simulation.figures import Figures, figures, served_in
from benchmarks.simulation.fleet import Fleet, Scene
from benchmarks.simulation.replica import PRESSED
from benchmarks.simulation.routing import RING
from benchmarks.simulation.world import WORDS

WINDOW_SECONDS: Final = 10.0
NAMES: Final = 5_000
LOST_AFTER_SECONDS: Final = 60.0
"""A change that a watcher has not heard of by then is lost: sweeps of these scenes come sooner."""


def watched(scene: Scene) -> Figures:
    """Return the figures of a scene without incidents."""
    return figures(virtually(_run(scene)))


async def _run(scene: Scene) -> Fleet:
    fleet = Fleet(scene)
    await fleet.run()
    return fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """Replicas that want more than the quota has."""

    figures: Figures
    served: list[float]
    """Calls in a second that AWS answered, in windows of `WINDOW_SECONDS`."""
    rates: list[tuple[float, list[float]]]
    """At some moments, what each replica's limiter allows."""


@dataclass(frozen=True, slots=True)
class Dip:
    """A quota that changes for a while."""

    low: float
    begins: float
    ends: float


def pressed(scene: Scene, dip: Dip | None = None) -> Pressed:
    """Return the shares of replicas in a quota that all of them exceed."""

    async def run() -> Fleet:
        fleet = Fleet(scene)
        await fleet.run(*([_change(fleet, dip)] if dip is not None else []))
        return fleet

    fleet, operation = virtually(run()), PRESSED[scene.service]
    return Pressed(
        figures=figures(fleet),
        served=list(served_in(fleet, WINDOW_SECONDS)),
        rates=[
            (each.at, each.rates[operation]) for each in fleet.samples if operation in each.rates
        ],
    )


async def _change(fleet: Fleet, dip: Dip) -> None:
    before = fleet.account.rates
    await asyncio.sleep(dip.begins)
    fleet.account.allow({**before, PRESSED[fleet.scene.service]: dip.low})
    await asyncio.sleep(dip.ends - dip.begins)
    fleet.account.allow(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A replica died at the end of the warm-up."""

    calls_before: float
    """To AWS in a second."""
    calls_after: float
    """The same in the half minute afterwards."""
    throttled_after: float
    watchers_lost: int
    """Whose stream broke."""
    parents_lost: int
    """Of the dead replica's watches."""
    parents_moved: int
    """Parents whose watches another replica serves than before, although theirs lives."""
    rerouted: float
    """The part of names that belonged to a replica that lives, and now belong to another one."""
    outage: tuple[float, float]
    """Seconds until a broken watch had a snapshot again: the median, and the longest."""
    lost_changes: int
    """Tasks of which some watcher has an old state at the end."""


def death(scene: Scene) -> Death:
    """Return the effects of a replica's death on watchers."""
    return virtually(_die(scene))


async def _die(scene: Scene) -> Death:
    fleet = Fleet(scene)
    before: dict[str, set[int]] = {}
    after: dict[str, set[int]] = {}
    lost, rerouted = 0, list[float]()

    async def kill() -> None:
        nonlocal lost, before, after
        await asyncio.sleep(scene.warm_up)
        before, lost = _places(fleet), len(fleet.replicas[0].streams)
        belonged = _routes(fleet)
        await fleet.kill(0)
        rerouted.append(_rerouted(belonged, _routes(fleet)))
        await asyncio.sleep(scene.seconds / 2)
        after = _places(fleet)

    await fleet.run(kill())
    at = scene.warm_up
    calm, rush = figures(fleet, at - 30, at), figures(fleet, at, at + 30)
    outages = sorted(fleet.seen.outages)
    return Death(
        calls_before=calm.calls,
        calls_after=rush.calls,
        throttled_after=rush.throttled,
        watchers_lost=lost,
        parents_lost=sum(0 in places for places in before.values()),
        parents_moved=sum(0 not in places and places != after[p] for p, places in before.items()),
        rerouted=rerouted[0],
        outage=(outages[len(outages) // 2], outages[-1]),
        lost_changes=sum(_behind(fleet)),
    )


def _routes(fleet: Fleet) -> dict[str, int]:
    """Return the replicas of calls about many parents, if routing depends on the parent."""
    if fleet.scene.routing != RING:
        return {}
    return {name: fleet.router.route(name) for name in map(str, range(NAMES))}


def _rerouted(before: dict[str, int], after: dict[str, int]) -> float:
    stayed = [name for name, replica in before.items() if replica != 0]
    return sum(before[name] != after[name] for name in stayed) / max(1, len(stayed))


def _places(fleet: Fleet) -> dict[str, set[int]]:
    """Return the replicas that serve the watchers of each parent."""
    places: dict[str, set[int]] = {}
    for watcher in fleet.watchers:
        if watcher.replica is not None:
            places.setdefault(watcher.parent.name, set()).add(watcher.replica.number)
    return places


def _behind(fleet: Fleet) -> list[bool]:
    """Return, for each watcher and task, whether an old change has not arrived."""
    then, words = fleet.scene.until - LOST_AFTER_SECONDS, WORDS[fleet.scene.service]
    return [
        watcher.states.get(watcher.parent.task_name(task)) != words[task.stage(then)]
        for watcher in fleet.watchers
        for task in watcher.parent.tasks
        if task.stage(then) == task.stage(fleet.scene.until)
    ]
