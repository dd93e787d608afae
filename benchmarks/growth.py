"""How Taskgate's CPU and memory grow with its callers.

Each run has a fresh server, since memory is not given back. No answers are kept, so that what grows
is what callers who wait cost. Memory is the kernel's: the peak under load, less the server at rest.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks import machine, workload
from benchmarks.scenarios import UNSHARED, Bench, Run

CALLERS = (100, 1_000, 10_000)
NOTHING_KEPT = {**UNSHARED, "TASKGATE_CACHE_MAX_ENTRIES": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What so many callers cost; medians."""

    callers: int
    rate: float
    cpu_us: float
    """For one RPC."""
    memory_kib: float
    """Peak, above the server at rest."""
    refused: int
    """Calls refused or lost, in all runs."""


def measure(bench: Bench, rounds: int) -> list[Growth]:
    """Measure all sizes, interleaved."""
    runs: dict[int, list[tuple[Run, int]]] = {callers: [] for callers in CALLERS}
    for _ in range(rounds):
        for callers in CALLERS:
            runs[callers].append(_one(bench, callers))
    return [
        Growth(
            callers=callers,
            rate=statistics.median(run.load.rate for run, _ in seen),
            cpu_us=statistics.median(run.cpu_us for run, _ in seen),
            memory_kib=statistics.median(kib for _, kib in seen),
            refused=sum(sum(run.load.refused.values()) + run.load.lost for run, _ in seen),
        )
        for callers, seen in runs.items()
    ]


def _one(bench: Bench, callers: int) -> tuple[Run, int]:
    log = bench.home / f"growth-{callers}.log"
    with machine.taskgate(bench.upstream, log, NOTHING_KEPT) as server:
        machine.query_stub(bench.upstream, "reset?latency_ms=30")
        # The first calls load what is loaded once.
        bench.generator.run(server.address, 10, bench.distinct, workload.GET_TASK)
        at_rest = server.memory_kib("VmRSS")
        run = bench.measure(server, callers)
        return run, server.memory_kib("VmHWM") - at_rest
