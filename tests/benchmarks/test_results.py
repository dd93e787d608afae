"""Figures, bars and the document of `make bench`, also when peers fail."""

from __future__ import annotations

import math

import pytest

from benchmarks import report
from benchmarks.bars import bars
from benchmarks.bench import NAMES
from benchmarks.figures import NONE, Figure
from benchmarks.growth import Growth
from benchmarks.machine import BenchError
from benchmarks.rest import Rest
from benchmarks.results import Results, summarize
from benchmarks.runs import Run, take_turns
from tests.benchmarks.made_runs import make_run


def test_a_figure_is_the_median_and_the_quartiles() -> None:
    assert Figure.of([5, 1, 2, 3, 4, math.nan]) == Figure(3, 2, 4)
    assert Figure.of([7]) == Figure(7, 7, 7)
    assert not Figure.of([math.nan]).is_known


@pytest.mark.parametrize(
    ("figure", "shown"),
    [(Figure(1000, 900, 1200), "1,000 ± 150"), (Figure(7, 7, 7), "7"), (NONE, "-")],
)
def test_a_figure_shows_its_spread(figure: Figure, shown: str) -> None:
    assert figure.show(",.0f") == shown


def test_peers_are_compared_within_the_rounds_in_which_both_ran() -> None:
    rows = summarize(
        {
            # The machine is slow in round 1. The ratio of the medians would be 0.75.
            "taskgate": {0: make_run(800, 300), 1: make_run(80, 310), 2: make_run(600, 320)},
            "bare": {0: make_run(1000, 200), 1: make_run(100, 200), 2: make_run(800, 200)},
            "facade": {0: make_run(100)},
        }
    )
    assert rows["taskgate"].to_bare.median == pytest.approx(0.8)
    assert rows["taskgate"].cpu_above_bare.median == pytest.approx(110)
    assert rows["taskgate"].to_facade == Figure(8, 8, 8)
    assert not rows["taskgate"].p50_above_direct.is_known


def test_a_limit_has_no_latency_to_compare_with_that_of_the_upstream() -> None:
    runs = {0: make_run(10, p50_ms=33.0)}
    rows = summarize({"taskgate": {0: make_run(10, p50_ms=33.5)}, "bare": runs, "direct-1": runs})
    assert rows["taskgate"].p50_above_direct.median == pytest.approx(0.5)
    assert not rows["bare"].p50_above_direct.is_known


def test_peers_take_turns_and_one_that_fails_twice_has_no_further_turn() -> None:
    turns: list[str] = []
    failures: dict[str, str] = {}

    def peer(name: str, *, broken: bool = False) -> Run:
        turns.append(name)
        if broken:
            raise BenchError("it has ended")
        return make_run(1)

    runs = take_turns(
        4,
        {
            "one": lambda: peer("one"),
            "sparse": lambda: peer("sparse"),
            "broken": lambda: peer("broken", broken=True),
        },
        sparse=frozenset({"sparse"}),
        failed=lambda name, error: failures.update({name: str(error)}),
    )
    assert turns == ["one", "sparse", "broken", "broken", "one", "one", "sparse", "one"]
    assert {name: list(seen) for name, seen in runs.items()} == {
        "one": [0, 1, 2, 3],
        "sparse": [0, 3],
        "broken": [],
    }
    assert failures == {"broken": "it has ended"}


def make_results(cpu_us: float) -> Results:
    """Return results that meet all bars of what they have, if the CPU time is small enough."""
    taskgate = {0: make_run(900, cpu_us, p50_ms=30.2, p99_ms=40.0, aws_calls=12)}
    others = {
        "bare": {0: make_run(1000, 200)},
        "facade": {0: make_run(100)},
        "direct-1": {0: make_run(30, p50_ms=30.0)},
    }
    rows = summarize({"taskgate": taskgate, **others})
    one = Figure.of([1])
    return Results(
        method={"runs": "1 round", "quota": "1 s"},
        scenarios=dict.fromkeys(
            ("many", "same", "busy", "busy-slow", "one-slow", "one-fast"), rows
        ),
        growth=[
            Growth(callers=10_000, rate=one, cpu_us=one, cpu_to_few=one, memory_kib=one, refused=0)
        ],
        rest=Rest(rss_mib=Figure.of([85]), threads=Figure.of([12])),
    )


@pytest.mark.parametrize(
    ("cpu_us", "missed"), [(310, []), (311, ["at most 110 us of CPU above (e)"])]
)
def test_bars_are_judged(cpu_us: float, missed: list[str]) -> None:
    judged = bars(make_results(cpu_us), [name for name in NAMES if name != "quota"])
    assert [bar.wanted for bar in judged if not bar.met] == missed
    assert len(judged) == 13


def test_what_was_not_measured_meets_no_bar() -> None:
    judged = bars(Results(), NAMES)
    assert len(judged) == 16
    assert not any(bar.met for bar in judged)
    assert {bar.seen for bar in judged} == {"not measured"}


def test_growth_with_refused_calls_says_nothing_about_cpu() -> None:
    one = Figure.of([0.5])
    growth = Growth(callers=10_000, rate=one, cpu_us=one, cpu_to_few=one, memory_kib=one, refused=3)
    judged = bars(Results(growth=[growth]), ["growth"])
    assert [(bar.seen, bar.met) for bar in judged] == [
        ("3", False),
        ("not measured", False),
        ("0.0", True),
    ]


def test_the_document_reports_what_failed() -> None:
    results = make_results(300)
    results.rest = None
    results.failures = {"rest": "the server\n did not start"}
    text = report.document(results, bars(results, NAMES))
    assert "- rest: the server did not start\n" in text
    assert (
        "## At rest\n\nTaskgate with its defaults, ready and not called.\n\nNot measured.\n" in text
    )
    assert "| (e) tuned grpc.aio, prebuilt answer |" in text
