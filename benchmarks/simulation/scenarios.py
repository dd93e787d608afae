"""What is simulated for docs/scaling.md, and a runner that spreads it over the machine's cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any, Final

from benchmarks.simulation import experiments
from benchmarks.simulation.experiments import Dip
from benchmarks.simulation.fleet import Scene
from benchmarks.simulation.replica import PRESSED
from benchmarks.simulation.routing import RING, ROBIN, ROUTERS
from taskgate_server.config import AwsSettings
from taskgate_server.services.omics.spec import SPEC as OMICS

MANY_RUNS: Final = 1_000
WATCHERS_OF_ONE: Final = 16
WATCHERS_OF_MANY: Final = 4
FEW: Final = 10
READ_RUNS: Final = 6
READ_JOBS: Final = 20
DIP: Final = Dip(low=5.0, begins=240.0, ends=480.0)
UNKNOWN_RATE: Final = 25.0
"""Calls per second that AWS is taken to allow of Deadline Cloud's ListTasks, which it does not
publish."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which run of the simulation."""

    group: str
    size: float
    """What varies besides the replicas: parents, callers, or calls per second."""
    replicas: int
    routing: str = RING


Work = Callable[[], Any]
Results = Mapping[Key, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is simulated."""

    replicas: Sequence[int] = (1, 2, 4, 8, 16)
    few_replicas: Sequence[int] = (1, 4, 16)
    runs: Sequence[int] = (1, 10, 100)
    jobs: Sequence[int] = (1, 10)
    callers: Sequence[int] = (10, 100, 1_000, 10_000)


def all_work(sizes: Sizes, seed: int) -> dict[Key, Work]:
    """Return all simulations by their keys."""
    return {
        key: work
        for group in (_watch_runs, _many_runs, _watch_jobs, _watchers, _reads, _quota, _death)
        for key, work in group(sizes, seed)
    }


def run_all(work: Mapping[Key, Work], report: Callable[[Key], None]) -> dict[Key, Any]:
    """Run all, the longest first, in as many processes as there are cores."""
    order = sorted(work, key=_cost, reverse=True)
    # Not forked: a process that has event loops and locks is a bad parent.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        running = {key: pool.submit(work[key]) for key in order}
        results = {}
        for key, each in running.items():
            results[key] = each.result()
            report(key)
    return results


def _cost(key: Key) -> float:
    """Return an estimate of the duration."""
    weight = {
        "many runs": 1_000,
        "watch jobs": 1_000,
        "watchers": 1,
        "read jobs": 2,
        "watch runs": 50,
    }
    return key.size * weight.get(key.group, 1) * (1 + key.replicas / 4)


def _routings(replicas: int) -> Sequence[str]:
    return (RING,) if replicas == 1 else (ROBIN, RING)


def _grid(group: str, sizes: Sequence[int], replicas: Sequence[int]) -> Iterator[Key]:
    for size in sizes:
        for count in replicas:
            for routing in _routings(count):
                yield Key(group, size, count, routing)


def watch_scene(key: Key, seed: int, service: str = "omics") -> Scene:
    """Return a scene with watchers of runs or jobs."""
    return Scene(
        service=service,
        replicas=key.replicas,
        routing=key.routing,
        parents=int(key.size),
        watchers=int(key.size) * WATCHERS_OF_ONE,
        # Few runs have few changes: they are watched for longer.
        seconds=120.0 if key.size >= FEW else 480.0,
        seed=seed,
    )


def _watch_runs(sizes: Sizes, seed: int) -> Iterator[tuple[Key, Work]]:
    for key in _grid("watch runs", sizes.runs, sizes.replicas):
        yield key, partial(experiments.watched, watch_scene(key, seed))


def _many_runs(_: Sizes, seed: int) -> Iterator[tuple[Key, Work]]:
    """Return scenes of a thousand runs, by AWS's quota, which the settings then contain."""
    published = OMICS.request_rates["ListRunTasks"]
    cases = [(published, 1, RING), (published, 4, ROBIN), (published, 4, RING)]
    cases += [(published * 3, 1, RING), (published * 10, 2, RING)]
    for quota, replicas, routing in cases:
        key = Key("many runs", quota, replicas, routing)
        raised = AwsSettings(
            request_rates={"ListRunTasks": quota},
            watch_calls_per_second=0.9 * quota / replicas,
        )
        scene = Scene(
            service="omics",
            replicas=replicas,
            routing=routing,
            parents=MANY_RUNS,
            watchers=MANY_RUNS * WATCHERS_OF_MANY,
            warm_up=240.0 if quota == published else 110.0,
            seconds=120.0 if quota == published else 60.0,
            rates={"ListRunTasks": quota},
            aws=None if quota == published else raised,
            seed=seed,
        )
        yield key, partial(experiments.watched, scene)


def _watch_jobs(sizes: Sizes, seed: int) -> Iterator[tuple[Key, Work]]:
    for key in _grid("watch jobs", sizes.jobs, sizes.few_replicas):
        scene = replace(
            watch_scene(key, seed, "deadline"), tasks=120, ramp=20.0, warm_up=40.0, seconds=40.0
        )
        yield key, partial(experiments.watched, scene)


def _watchers(sizes: Sizes, seed: int) -> Iterator[tuple[Key, Work]]:
    for key in _grid("watchers", sizes.callers, [4]):
        scene = Scene(
            service="omics",
            replicas=4,
            routing=key.routing,
            parents=10,
            watchers=int(key.size),
            warm_up=70.0,
            seconds=50.0,
            seed=seed,
        )
        yield key, partial(experiments.watched, scene)


def _reads(sizes: Sizes, seed: int) -> Iterator[tuple[Key, Work]]:
    for service, parents, group in (
        ("omics", READ_RUNS, "read runs"),
        ("deadline", READ_JOBS, "read jobs"),
    ):
        for key in _grid(group, sizes.callers, sizes.few_replicas):
            scene = Scene(
                service=service,
                replicas=key.replicas,
                routing=key.routing,
                parents=parents,
                readers=int(key.size),
                warm_up=15.0,
                seconds=30.0,
                seed=seed,
            )
            yield key, partial(experiments.watched, scene)


def press_scene(service: str, replicas: int, rate: float, seed: int) -> Scene:
    """Return a scene of replicas that each exceed AWS's quota of one operation."""
    return Scene(
        service=service,
        replicas=replicas,
        routing=RING,
        parents=5,
        pressing=5,
        warm_up=120.0,
        seconds=300.0,
        rates={PRESSED[service]: rate},
        seed=seed,
    )


def _quota(sizes: Sizes, seed: int) -> Iterator[tuple[Key, Work]]:
    for replicas in sizes.replicas:
        for service, rate in (("omics", 10.0), ("deadline", UNKNOWN_RATE)):
            scene = press_scene(service, replicas, rate, seed)
            yield Key(f"quota {service}", rate, replicas), partial(experiments.pressed, scene)
    for replicas in (1, 4):
        scene = replace(press_scene("omics", replicas, 10.0, seed), seconds=600.0)
        yield Key("dip", DIP.low, replicas), partial(experiments.pressed, scene, DIP)


def _death(_: Sizes, seed: int) -> Iterator[tuple[Key, Work]]:
    for routing in ROUTERS:
        key = Key("death", 12, 4, routing)
        scene = replace(watch_scene(key, seed), spread=240.0, seconds=240.0)
        yield key, partial(experiments.death, scene)
