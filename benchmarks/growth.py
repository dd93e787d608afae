"""How Taskgate's CPU and memory grow with its callers.

Each run has a fresh server, since memory is not given back. No answers are kept, so that what grows
is what callers who wait cost. Memory is the kernel's: the peak under load, less the server at rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import machine, workload
from benchmarks.figures import Figure
from benchmarks.runs import Bench, Run
from benchmarks.scenarios import UNSHARED, Scenario

FEW_CALLERS = 100
MORE_CALLERS = 10_000
CALLERS = (FEW_CALLERS, 1_000, MORE_CALLERS)
NOTHING_KEPT = {**UNSHARED, "TASKGATE_CACHE_MAX_ENTRIES": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What so many callers cost."""

    callers: int
    rate: Figure
    cpu_us: Figure
    """For one RPC."""
    cpu_to_few: Figure
    """The same as a multiple of that at the fewest callers, in the same round."""
    memory_kib: Figure
    """Peak, above the server at rest."""
    refused: int
    """Calls refused or lost, in all runs."""


def measure(bench: Bench, rounds: int) -> list[Growth]:
    """Measure all sizes, interleaved.

    Raises:
        BenchError: a server does not start, or breaks its connections.
    """
    seen = [{callers: _run(bench, callers) for callers in CALLERS} for _ in range(rounds)]
    return [
        Growth(
            callers=callers,
            rate=Figure.of(each[callers][0].load.rate for each in seen),
            cpu_us=Figure.of(each[callers][0].cpu_us for each in seen),
            cpu_to_few=Figure.of(
                each[callers][0].cpu_us / each[FEW_CALLERS][0].cpu_us for each in seen
            ),
            memory_kib=Figure.of(each[callers][1] for each in seen),
            refused=sum(each[callers][0].load.failed for each in seen),
        )
        for callers in CALLERS
    ]


def _run(bench: Bench, callers: int) -> tuple[Run, int]:
    scenario = Scenario(
        name="growth", title="", callers=callers, latency_ms=30, judged=(), others=()
    )
    log = bench.home / f"growth-{callers}.log"
    with machine.taskgate(bench.upstream, log, NOTHING_KEPT) as server:
        machine.query_stub(bench.upstream, "reset?latency_ms=30")
        # The first calls load what is loaded once.
        bench.generator.run(server.address, 10, bench.distinct, workload.GET_TASK)
        at_rest = server.memory_kib("VmRSS")
        run = bench.load(scenario, server)
        return run, server.memory_kib("VmHWM") - at_rest
