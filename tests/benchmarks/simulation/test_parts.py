"""The simulation is what it says: repeatable, of the server's parts, routed as by Envoy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.simulation import experiments, memory, paper
from benchmarks.simulation.account import Account
from benchmarks.simulation.clock import seeded, virtually
from benchmarks.simulation.replica import Replica
from benchmarks.simulation.routing import RingHash, RoundRobin
from benchmarks.simulation.tables import TABLES, filled, markers
from benchmarks.simulation.world import World
from taskgate_server.aws_connections import Telemetry, open_connections
from taskgate_server.calls import DEFAULT_TARGET
from taskgate_server.config import Settings
from tests.benchmarks.simulation.scene import SCENE

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/scaling.md").read_text()
NAMES = [f"omics/runs/{number}" for number in range(2_000)]
SCRIPT = """
from benchmarks.simulation import experiments
from tests.benchmarks.simulation.scene import SCENE
print(experiments.watched(SCENE))
"""


def test_a_seed_gives_the_same_figures_in_any_process() -> None:
    # Sets of texts have another order there.
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == f"{experiments.watched(SCENE)}\n"


def test_a_ring_spreads_evenly_and_a_death_moves_little_besides_its_share() -> None:
    ring = RingHash(range(4))
    before = {name: ring.route(name) for name in NAMES}
    again = RingHash(range(4))
    assert before == {name: again.route(name) for name in NAMES}
    counts = Counter(before.values())
    assert set(counts) == {0, 1, 2, 3}
    assert all(0.8 < count / 500 < 1.2 for count in counts.values())
    ring.lose(2)
    after = {name: ring.route(name) for name in NAMES}
    own = {name for name in NAMES if before[name] == 2}
    assert {after[name] for name in own} == {0, 1, 3}, "to all others"
    # Envoy's ring keeps its size, so the others' points are more than they were.
    stayed = [name for name in NAMES if name not in own]
    assert sum(before[name] != after[name] for name in stayed) < 0.2 * len(stayed)


def test_round_robin_takes_turns() -> None:
    router = RoundRobin(range(3))
    first = [router.route("any") for _ in range(6)]
    assert sorted(first[:3]) == [0, 1, 2]
    assert first[:3] == first[3:]
    router.lose(1)
    assert {router.route("any") for _ in range(6)} == {0, 2}


@pytest.mark.parametrize("service", ["deadline", "omics"])
def test_a_replica_is_set_up_as_the_server_is(service: str) -> None:
    async def main() -> None:
        world = World(service, 1, 1, 60.0, seeded(1))
        replica = Replica(Account(world, {}, seeded(2)), 0, 1)
        ours = replica.gateway
        theirs = open_connections(Settings(), DEFAULT_TARGET, Telemetry()).gateways[service]
        assert ours._sharing == theirs._sharing
        assert ours._default_timeout == theirs._default_timeout
        for mine, real in ((ours.pipeline, theirs.pipeline),):
            assert mine.limiter._context.spec == real.limiter._context.spec
            assert mine.limiter._context.limits == real.limiter._context.limits
            assert mine.breaker._thresholds == real.breaker._thresholds
            assert mine.retries._backoff == real.retries._backoff
            assert mine.retries.budget._share == real.retries.budget._share
        assert ours.batched_reads._slots == theirs.batched_reads._slots
        assert ours.batched_reads._linger == theirs.batched_reads._linger

    virtually(main())


def test_what_aws_answers_follows_from_the_time() -> None:
    world = World("deadline", 1, 250, 100.0, seeded(3))
    parent = world.parents[0]
    params = parent.params(parent.tasks[0])
    rows, token = [], None
    while True:
        query = params if token is None else {**params, "nextToken": token}
        page = world.answer("ListTasks", query, 50.0)
        rows += page["tasks"]
        token = page.get("nextToken")
        if token is None:
            break
    assert len(rows) == 250
    counts = Counter(row["runStatus"] for row in rows)
    step = world.answer("GetStep", params, 50.0)
    assert step["taskRunStatusCounts"] == counts
    assert len(counts) == 3
    for task, row in zip(parent.tasks, rows, strict=True):
        changed_at = world.changed_at(parent.task_name(task), row["runStatus"])
        assert changed_at <= 50.0
        assert world.answer("GetTask", parent.params(task), max(changed_at, 0.0)) == row


def test_paper_at_its_ends() -> None:
    assert paper.pollers(10, 1, 4, ring=False) == pytest.approx(10)
    assert paper.pollers(10, 1_000, 4, ring=False) == pytest.approx(40)
    quiet, busy = paper.rhythm(0.0), paper.rhythm(1_000.0)
    assert quiet.mean == pytest.approx(5 + paper.CALL_SECONDS)
    assert busy.mean == pytest.approx(1 + paper.CALL_SECONDS)
    assert paper.misses(1_000.0, 1, 1.0, 1, ring=True) == pytest.approx(1, rel=0.01)
    assert paper.misses(1_000.0, 1, 1.0, 8, ring=False) == pytest.approx(8, rel=0.01)
    assert paper.misses(0.1, 100, 1.0, 8, ring=False) == pytest.approx(0.1, rel=0.01)
    assert paper.batched_calls(3.0, 1) == 3.0
    assert paper.request_rate(500, 1) == pytest.approx(1)
    assert paper.request_rate(500, 100_000) == pytest.approx(500)


def test_memory_without_ring_hash_does_not_shrink_below_the_tasks() -> None:
    sizes = [memory.watch_load(100, 1_000, 0, n, ring=False).mib for n in (1, 4)]
    assert sizes[0] == sizes[1]
    ring = memory.watch_load(100, 1_000, 0, 4, ring=True).mib
    assert ring - memory.REST_MIB == pytest.approx((sizes[0] - memory.REST_MIB) / 4)


def test_the_document_has_a_table_for_each_marker() -> None:
    for name in TABLES:
        begin, end = markers(name)
        table = DOCUMENT.partition(begin)[2].partition(end)[0].strip()
        assert table.startswith("| "), f"`make simulate` has not filled in {name}"
    assert "](scaling.svg)" in DOCUMENT
    assert filled(DOCUMENT, {"memory": TABLES["memory"]({})}) == DOCUMENT
    with pytest.raises(ValueError, match="lacks"):
        filled(DOCUMENT.replace(markers("dip")[1], ""), {"dip": ""})
