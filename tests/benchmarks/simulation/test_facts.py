"""What docs/scaling.md says, in small: the same replicas, account and callers, in seconds."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest

from benchmarks.simulation import experiments, paper
from benchmarks.simulation.experiments import Death, Dip, Pressed
from benchmarks.simulation.figures import Figures
from benchmarks.simulation.fleet import Scene
from benchmarks.simulation.routing import RING, ROBIN
from benchmarks.simulation.scenarios import press_scene
from benchmarks.simulation.tables import CHANGES, QUOTA, recovered_after

pytestmark = pytest.mark.long

RUNS = 4
SMALL = Scene(
    service="omics",
    replicas=1,
    routing=RING,
    parents=RUNS,
    watchers=RUNS * 16,
    ramp=20.0,
    warm_up=40.0,
    seconds=100.0,
)


@cache
def watched(replicas: int, routing: str = RING, watchers: int = SMALL.watchers) -> Figures:
    scene = replace(SMALL, replicas=replicas, routing=routing, watchers=watchers)
    return experiments.watched(scene)


def test_with_ring_hash_calls_do_not_grow_with_replicas() -> None:
    assert watched(4).calls == pytest.approx(watched(1).calls, rel=0.1)
    assert watched(4).pollers == watched(1).pollers == RUNS
    assert watched(4).tasks == RUNS * SMALL.tasks


def test_without_it_they_grow_as_often_as_there_are_replicas() -> None:
    alone, spread = watched(1), watched(4, ROBIN)
    assert spread.pollers == 4 * RUNS
    assert 3 * alone.calls < spread.calls < 4.4 * alone.calls
    assert spread.tasks == 4 * RUNS * SMALL.tasks


def test_calls_do_not_grow_with_watchers() -> None:
    assert watched(1, RING, 4 * SMALL.watchers).calls <= 1.1 * watched(1).calls


@pytest.mark.parametrize(("replicas", "routing"), [(1, RING), (4, RING), (4, ROBIN), (2, ROBIN)])
def test_paper_and_simulation_agree_where_the_quota_is_not_reached(
    replicas: int, routing: str
) -> None:
    seen, pace = watched(replicas, routing), paper.rhythm(CHANGES)
    count = paper.pollers(RUNS, 16, replicas, ring=routing == RING)
    expected = paper.polling(count, replicas, pace, QUOTA)
    assert seen.pollers == pytest.approx(count, rel=0.1)
    assert seen.calls == pytest.approx(expected.calls, rel=0.15)
    assert seen.delay[0] == pytest.approx(expected.age[0], rel=0.35)
    assert seen.delay[1] == pytest.approx(expected.age[1], rel=0.25)


def test_over_the_quota_round_robin_makes_answers_older_than_ring_hash() -> None:
    scene = replace(SMALL, replicas=4, parents=20, watchers=320)
    robin = experiments.watched(replace(scene, routing=ROBIN))
    ring = experiments.watched(scene)
    assert ring.calls < QUOTA
    assert ring.throttled == 0
    assert robin.calls > 0.95 * QUOTA
    assert robin.delay[0] > 2 * ring.delay[0]


def test_one_replica_answers_all_who_come_at_once_to_more_than_the_quota_has() -> None:
    scene = replace(SMALL, parents=400, watchers=800, warm_up=60.0, seconds=60.0)
    seen = experiments.watched(scene)
    assert seen.without == 0
    assert seen.first[1] < 90


@cache
def pressed(service: str, replicas: int, rate: float, seconds: float = 100.0) -> Pressed:
    return experiments.pressed(replace(press_scene(service, replicas, rate, 1), seconds=seconds))


@pytest.mark.parametrize(("service", "rate"), [("omics", 10.0), ("deadline", 25.0)])
@pytest.mark.parametrize("replicas", [1, 4])
def test_no_replica_starves_and_little_is_throttled(
    service: str, rate: float, replicas: int
) -> None:
    seen = pressed(service, replicas, rate).figures
    assert min(seen.shares) > 0.6 / replicas
    assert max(seen.shares) < 1.4 / replicas
    assert seen.fairness > 0.95
    assert seen.throttled < 0.02
    assert seen.calls * (1 - seen.throttled) > 0.85 * rate


def test_sixteen_replicas_share_a_small_quota_at_a_price() -> None:
    seen = pressed("omics", 16, 10.0, seconds=200.0).figures
    assert min(seen.shares) > 0.5 / 16
    assert 0.05 < seen.throttled < 0.25


@pytest.mark.parametrize("replicas", [1, 4])
def test_the_rate_comes_back_after_a_quota_that_fell(replicas: int) -> None:
    scene = replace(press_scene("omics", replicas, 10.0, 1), seconds=600.0)
    seen = experiments.pressed(scene, Dip(low=5.0, begins=240.0, ends=480.0))
    assert all(served < 6 for served in seen.served[26:48])
    assert recovered_after(seen) <= 90


@cache
def died(routing: str) -> Death:
    scene = replace(SMALL, replicas=4, routing=routing, parents=8, watchers=64)
    return experiments.death(replace(scene, spread=140.0, warm_up=60.0, seconds=200.0))


def test_a_death_moves_its_own_runs_and_loses_no_change() -> None:
    ring, robin = died(RING), died(ROBIN)
    for each in (ring, robin):
        assert each.watchers_lost > 0
        assert each.parents_moved == 0
        assert each.lost_changes == 0
        assert each.outage[1] < 10
    assert 0 < ring.parents_lost < 8
    assert 0.05 < ring.rerouted < 0.2
    assert robin.parents_lost == 8


def readers(service: str, replicas: int, routing: str) -> Figures:
    scene = Scene(
        service=service,
        replicas=replicas,
        routing=routing,
        parents=4,
        readers=1_000,
        warm_up=5.0,
        seconds=8.0,
    )
    return experiments.watched(scene)


def test_reads_of_runs_cost_as_much_on_four_replicas_only_with_ring_hash() -> None:
    alone, ring = readers("omics", 1, RING), readers("omics", 4, RING)
    robin = readers("omics", 4, ROBIN)
    assert ring.calls == pytest.approx(alone.calls, rel=0.05)
    assert alone.refused_reads == ring.refused_reads == 0
    assert robin.calls > 2 * ring.calls
    assert alone.read_age[1] <= 1.0


def test_reads_of_jobs_fill_batches_on_one_replica() -> None:
    alone, robin = readers("deadline", 1, RING), readers("deadline", 4, ROBIN)
    assert robin.calls > 2 * alone.calls
    assert alone.refused_reads == robin.refused_reads == 0
    assert alone.read_wait[1] < 0.2
    assert robin.read_age[1] <= 1.0
    assert math.isinf(alone.age[0]), "without watchers"
