"""What a whole run of the benchmark found: medians, ratios, and what must hold of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.growth import Growth
from benchmarks.quota import Quota
from benchmarks.scenarios import Run

MORE_CALLERS = 10_000
FEW_CALLERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A peer in a scenario: medians over the runs."""

    rate: float
    spread: float
    """From the slowest run to the fastest, as a part of the median."""
    p50_ms: float
    p99_ms: float
    aws_calls: float
    """For each 1,000 RPCs."""
    cpu_us: float
    to_facade: float
    """RPC/s as a multiple of (b)'s; the median of the rounds' ratios."""
    to_bare: float
    """The same of (e)'s."""
    refused: int
    """Calls refused or lost, in all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Something that must hold."""

    name: str
    wanted: str
    seen: str
    met: bool


@dataclass(slots=True)
class Results:
    """All measurements; those that were not chosen are empty."""

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    method: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, dict[str, Row]] = field(default_factory=dict)
    growth: list[Growth] = field(default_factory=list)
    quota: dict[str, Quota] = field(default_factory=dict)


def summarize(runs: Mapping[str, Sequence[Run]]) -> dict[str, Row]:
    """Summarize the runs of a scenario: one row for each peer."""
    return {peer: _row(seen, runs) for peer, seen in runs.items()}


def _row(seen: Sequence[Run], runs: Mapping[str, Sequence[Run]]) -> Row:
    rates = [run.load.rate for run in seen]
    median = statistics.median(rates)
    return Row(
        rate=median,
        spread=(max(rates) - min(rates)) / median if median else 0.0,
        p50_ms=statistics.median(run.load.p50_ms for run in seen),
        p99_ms=statistics.median(run.load.p99_ms for run in seen),
        aws_calls=statistics.median(run.aws_calls for run in seen),
        cpu_us=statistics.median(run.cpu_us for run in seen),
        to_facade=_ratio(rates, runs.get("facade")),
        to_bare=_ratio(rates, runs.get("bare")),
        refused=sum(sum(run.load.refused.values()) + run.load.lost for run in seen),
    )


def _ratio(rates: Sequence[float], others: Sequence[Run] | None) -> float:
    if not others:
        return float("nan")
    pairs = zip(rates, others, strict=True)
    return statistics.median(rate / max(other.load.rate, 0.1) for rate, other in pairs)


def bars(results: Results) -> list[Bar]:
    """Return the bars of the scenarios that were measured."""
    met = [*_rates(results.scenarios), *_latency(results.scenarios)]
    if results.growth:
        met += _growth({each.callers: each for each in results.growth})
    if "taskgate" in results.quota:
        met += _quota(results.quota["taskgate"])
    return met


def _at_least(name: str, what: str, seen: float, least: float) -> Bar:
    wanted = f"at least {least:g}x {what}"
    return Bar(name=name, wanted=wanted, seen=f"{seen:.2f}x", met=seen >= least)


def _at_most(name: str, what: str, seen: float, most: float) -> Bar:
    return Bar(name=name, wanted=f"at most {most:g} {what}", seen=f"{seen:.4g}", met=seen <= most)


def _rates(scenarios: Mapping[str, Mapping[str, Row]]) -> list[Bar]:
    made = []
    if rows := scenarios.get("many"):
        row, name = rows["taskgate"], "1,000 callers, distinct tasks, 30 ms"
        made += [
            _at_least(name, "(b)", row.to_facade, 18),
            _at_most(name, "AWS calls per 1,000 RPCs", row.aws_calls, 20),
            _at_least(name, "(e)", row.to_bare, 0.7),
        ]
    if rows := scenarios.get("same"):
        row, name = rows["taskgate"], "1,000 callers, the same task"
        made.append(_at_least(name, "(e)", row.to_bare, 0.85))
    if rows := scenarios.get("busy"):
        row, name = rows["taskgate"], "128 callers, distinct tasks, 0 ms"
        made += [
            _at_least(name, "(b)", row.to_facade, 4),
            _at_most(name, "AWS calls per 1,000 RPCs", row.aws_calls, 300),
        ]
    if rows := scenarios.get("one-fast"):
        made.append(_at_least("1 caller, 0 ms", "(b)", rows["taskgate"].to_facade, 1.1))
    return made


def _latency(scenarios: Mapping[str, Mapping[str, Row]]) -> list[Bar]:
    rows = scenarios.get("one-slow")
    if not rows:
        return []
    added = rows["taskgate"].p50_ms - rows["direct-1"].p50_ms
    return [_at_most("1 caller, 30 ms", "ms of median above boto3's", added, 0.5)]


def _growth(by_callers: Mapping[int, Growth]) -> list[Bar]:
    few, many = by_callers[FEW_CALLERS], by_callers[MORE_CALLERS]
    name = "growth to 10,000 callers"
    return [
        _at_most(name, "calls refused or lost", many.refused, 0),
        Bar(
            name=name,
            wanted="at most 1.3 times the CPU of an RPC at 100",
            seen=f"{many.cpu_us / few.cpu_us:.2f}",
            # To refuse costs little: where calls were refused, the figure says nothing.
            met=many.cpu_us <= 1.3 * few.cpu_us and not many.refused,
        ),
        _at_most(name, "KiB for a waiting caller", many.memory_kib / many.callers, 20),
    ]


def _quota(quota: Quota) -> list[Bar]:
    name = "HealthOmics at 10 calls/s"
    return [
        _at_most(name, "throttles after the first second", quota.throttled_later, 0),
        _at_most(name, "calls of an operation in a second", quota.most_per_second, 10),
        Bar(
            name=name,
            wanted="every request answered, within `max_age` and 1 s",
            seen=f"{quota.fresh:.1%}",
            met=quota.fresh == 1,
        ),
    ]
