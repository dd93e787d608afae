"""What a whole run of the benchmark found: a row for each peer of each scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.figures import NONE, Figure
from benchmarks.growth import Growth
from benchmarks.quota import Quota
from benchmarks.rest import Rest
from benchmarks.runs import Run
from benchmarks.scenarios import PEERS

Rounds: TypeAlias = Mapping[int, Run]
"""The runs of a peer by the number of their round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A peer in a scenario.

    What compares two peers is the median over the rounds in which both ran: what slows the machine
    for a while slows both.
    """

    rate: Figure
    p50_ms: Figure
    p99_ms: Figure
    aws_calls: Figure
    """For each 1,000 RPCs."""
    cpu_us: Figure
    """For one RPC."""
    to_facade: Figure
    """RPC/s as a multiple of (b)'s."""
    to_bare: Figure
    """The same of (e)'s."""
    cpu_above_bare: Figure
    """CPU time for one RPC beyond (e)'s."""
    p50_above_direct: Figure
    """Milliseconds beyond boto3's in one thread."""
    refused: int
    """Calls refused or lost, in all runs."""


@dataclass(slots=True)
class Results:
    """All measurements; those that were not chosen, or failed, are empty."""

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    method: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, dict[str, Row]] = field(default_factory=dict)
    growth: list[Growth] = field(default_factory=list)
    quota: dict[str, Quota] = field(default_factory=dict)
    rest: Rest | None = None
    failures: dict[str, str] = field(default_factory=dict)
    """What could not be measured, and why."""


def summarize(runs: Mapping[str, Rounds]) -> dict[str, Row]:
    """Summarize the runs of a scenario: one row for each peer that ran."""
    return {peer: _row(peer, seen, runs) for peer, seen in runs.items() if seen}


def _row(peer: str, seen: Rounds, runs: Mapping[str, Rounds]) -> Row:
    def figure(value: Callable[[Run], float]) -> Figure:
        return Figure.of(map(value, seen.values()))

    def compared(other: str, value: Callable[[Run, Run], float]) -> Figure:
        return compare(seen, runs.get(other, {}), value)

    return Row(
        rate=figure(lambda run: run.load.rate),
        p50_ms=figure(lambda run: run.load.p50_ms),
        p99_ms=figure(lambda run: run.load.p99_ms),
        aws_calls=figure(lambda run: run.aws_calls),
        cpu_us=figure(lambda run: run.cpu_us),
        to_facade=compared("facade", rate_ratio),
        to_bare=compared("bare", rate_ratio),
        cpu_above_bare=compared("bare", lambda one, other: one.cpu_us - other.cpu_us),
        p50_above_direct=NONE  # it does not call the upstream
        if PEERS[peer].is_limit
        else compared("direct-1", lambda one, other: one.load.p50_ms - other.load.p50_ms),
        refused=sum(run.load.failed for run in seen.values()),
    )


def compare(one: Rounds, other: Rounds, value: Callable[[Run, Run], float]) -> Figure:
    """Return the figure of a value of two peers, from the rounds in which both ran."""
    return Figure.of(value(one[number], other[number]) for number in one if number in other)


def rate_ratio(one: Run, other: Run) -> float:
    """Return RPC/s as a multiple of another run's."""
    return one.load.rate / other.load.rate if other.load.rate else float("nan")
