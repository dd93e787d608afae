"""The results as Markdown tables, by the name of the marker in docs/scaling.md that holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks.report import table
from benchmarks.simulation import paper
from benchmarks.simulation.callers import MAX_AGE_SECONDS
from benchmarks.simulation.experiments import WINDOW_SECONDS, Death, Pressed
from benchmarks.simulation.figures import Figures, Pair
from benchmarks.simulation.fleet import Scene
from benchmarks.simulation.memory import watch_load
from benchmarks.simulation.paper import Polling
from benchmarks.simulation.routing import RING, ROBIN
from benchmarks.simulation.scenarios import (
    DIP,
    READ_JOBS,
    READ_RUNS,
    UNKNOWN_RATE,
    WATCHERS_OF_ONE,
    Key,
    Results,
)
from benchmarks.simulation.world import MEAN_RUN_SECONDS
from taskgate_server.services.omics.spec import SPEC as OMICS

QUOTA: Final = OMICS.request_rates["ListRunTasks"]
SCENE: Final = Scene(service="omics", replicas=1, routing=RING, parents=1)
CHANGES: Final = 2 * SCENE.tasks / (SCENE.spread + MEAN_RUN_SECONDS)
"""Of a run in a second: each task starts and ends within the spread and its first minute."""


def seconds(value: float) -> str:
    """Format seconds with two significant digits; inf means never."""
    if value == math.inf:
        return "never"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"  # noqa: PLR2004


def both(value: Pair) -> str:
    """Return median and 99th percentile."""
    return f"{seconds(value[0])} / {seconds(value[1])}"


def on_paper(key: Key) -> tuple[float, Polling]:
    """Return the number of pollers of runs, and their calls."""
    ring = key.routing == RING
    count = paper.pollers(int(key.size), WATCHERS_OF_ONE, key.replicas, ring=ring)
    return count, paper.polling(count, key.replicas, paper.rhythm(CHANGES), QUOTA)


def of_group(results: Results, group: str) -> list[Key]:
    """Return the keys of a group, in order."""
    keys = [key for key in results if key.group == group]
    return sorted(keys, key=lambda key: (key.size, key.replicas, key.routing == RING))


def pairs(results: Results, group: str) -> Iterator[tuple[Key, Key]]:
    """Return both routings for each size and number of replicas."""
    for key in of_group(results, group):
        if key.routing == RING:
            other = Key(group, key.size, key.replicas, ROBIN)
            yield (other if other in results else key), key


def watch_calls(results: Results) -> str:
    """Return the table of pollers and calls, calculated and simulated."""
    heads = ["runs", "replicas"]
    for routing in (ROBIN, RING):
        heads += [f"{routing}: pollers", "on paper", "calls/s", "on paper", "throttled"]
    rows = []
    for keys in pairs(results, "watch runs"):
        row = [f"{keys[1].size:g}", str(keys[1].replicas)]
        for key in keys:
            seen: Figures = results[key]
            count, expected = on_paper(key)
            row += [str(seen.pollers), f"{count:.0f}", f"{seen.calls:.1f}", f"{expected.calls:.1f}"]
            row.append(f"{seen.throttled:.1%}")
        rows.append(row)
    return table(heads, rows)


def watch_ages(results: Results) -> str:
    """Return the table of delays and ages of watchers."""
    heads = ["runs", "replicas"]
    for routing in (ROBIN, RING):
        heads += [f"{routing}: seen after", "on paper", "age seen", "no answer yet"]
    rows = []
    for keys in pairs(results, "watch runs"):
        row = [f"{keys[1].size:g}", str(keys[1].replicas)]
        for key in keys:
            seen: Figures = results[key]
            row += [both(seen.delay), both(on_paper(key)[1].age), both(seen.age)]
            row.append(f"{seen.without:.1%}")
        rows.append(row)
    return table(heads, rows)


def many_runs(results: Results) -> str:
    """Return the table of a thousand runs."""
    rows = []
    for key in of_group(results, "many runs"):
        seen: Figures = results[key]
        rows.append(
            [
                f"{key.size:g}",
                str(key.replicas),
                key.routing if key.replicas > 1 else "-",
                f"{seen.calls:.1f}",
                f"{seen.throttled:.1%}",
                both(seen.delay),
                both(seen.first),
                f"{seen.without:.1%}",
            ]
        )
    heads = ["quota", "replicas", "routing", "calls/s", "throttled", "seen after"]
    return table([*heads, "first answer after", "no answer yet"], rows)


def watch_jobs(results: Results) -> str:
    """Return the table of jobs of Deadline Cloud."""
    heads = ["jobs", "replicas"]
    for routing in (ROBIN, RING):
        heads += [f"{routing}: calls/s", "seen after", "age seen"]
    rows = []
    for keys in pairs(results, "watch jobs"):
        row = [f"{keys[1].size:g}", str(keys[1].replicas)]
        for key in keys:
            seen: Figures = results[key]
            row += [f"{seen.calls:.1f}", both(seen.delay), both(seen.age)]
        rows.append(row)
    return table(heads, rows)


def watchers(results: Results) -> str:
    """Return the table of more and more watchers of ten runs."""
    heads = ["watchers", *(f"{routing}: {what}" for routing in (ROBIN, RING) for what in _WATCHED)]
    rows = []
    for keys in pairs(results, "watchers"):
        row = [f"{keys[1].size:,g}"]
        for key in keys:
            seen: Figures = results[key]
            row += [f"{seen.calls:.1f}", both(seen.delay), f"{seen.most_streams:,}"]
        rows.append(row)
    return table(heads, rows)


_WATCHED: Final = ("calls/s", "seen after", "most on a replica")


def missed(key: Key) -> float:
    """Return the calculated calls per second for reads: lists of runs, or tasks of jobs."""
    is_runs = key.group == "read runs"
    things = READ_RUNS if is_runs else READ_JOBS * SCENE.tasks
    ring = key.routing == RING
    expected = paper.request_rate(things, key.size)
    rate = key.size / SCENE.period
    wanted = paper.misses(rate, expected, MAX_AGE_SECONDS, key.replicas, ring=ring)
    return min(wanted, QUOTA) if is_runs else paper.batched_calls(wanted, key.replicas)


def reads(group: str) -> Callable[[Results], str]:
    """Return the table of readers of tasks of either service."""

    def make(results: Results) -> str:
        heads = ["readers", "replicas"]
        for routing in (ROBIN, RING):
            heads += [f"{routing}: calls/s", "on paper", "refused", "wait", "busiest replica"]
        rows = []
        for keys in pairs(results, group):
            row = [f"{keys[1].size:,g}", str(keys[1].replicas)]
            for key in keys:
                seen: Figures = results[key]
                row += [f"{seen.calls:.1f}", f"{missed(key):.1f}", f"{seen.refused_reads:.1%}"]
                row += [milliseconds(seen.read_wait), f"{seen.busiest:.0%}"]
            rows.append(row)
        return table(heads, rows)

    return make


def milliseconds(value: Pair) -> str:
    """Return median and 99th percentile of a wait in milliseconds."""
    return " / ".join(f"{each * 1000:.0f} ms" if each < 1 else seconds(each) for each in value)


def shares(results: Results) -> str:
    """Return the table of each replica's share of a quota."""
    rows = []
    for service, quota, title in (
        ("omics", QUOTA, "published"),
        ("deadline", UNKNOWN_RATE, "unpublished"),
    ):
        for key in of_group(results, f"quota {service}"):
            pressed: Pressed = results[key]
            seen = pressed.figures
            used = seen.calls * (1 - seen.throttled) / quota
            parts = [share * key.replicas for share in seen.shares]
            rows.append(
                [
                    f"{title}, {quota:g} calls/s",
                    str(key.replicas),
                    f"{min(parts):.0%}",
                    f"{max(parts):.0%}",
                    f"{seen.fairness:.3f}",
                    f"{seen.throttled:.1%}",
                    f"{used:.0%}",
                ]
            )
    heads = ["quota", "replicas", "least part", "largest", "Jain's index", "throttled", "used"]
    return table(heads, rows)


def recovered_after(pressed: Pressed, part: float = 0.9) -> float:
    """Return the seconds from the end of the dip until a share of the former rate is back."""
    first, last = int(DIP.begins // WINDOW_SECONDS), int(DIP.ends // WINDOW_SECONDS)
    before = sum(pressed.served[first - 6 : first]) / 6
    late = (n for n, served in enumerate(pressed.served[last:]) if served >= part * before)
    return next(late, math.inf) * WINDOW_SECONDS


def dip(results: Results) -> str:
    """Return the table of a quota that halves, and comes back."""
    rows = []
    for key in of_group(results, "dip"):
        pressed: Pressed = results[key]
        first, last = int(DIP.begins // WINDOW_SECONDS), int(DIP.ends // WINDOW_SECONDS)
        served = pressed.served
        spans = (served[first - 6 : first], served[first + 2 : last], served[-6:])
        means = [f"{sum(span) / len(span):.1f}" for span in spans]
        rows.append([str(key.replicas), *means, seconds(recovered_after(pressed))])
    heads = ["replicas", "before", "while it is 5", "at the end", "90 % again after"]
    return table(heads, rows)


def deaths(results: Results) -> str:
    """Return the table of the death of a replica."""
    rows = []
    for key in of_group(results, "death"):
        seen: Death = results[key]
        rows.append(
            [
                key.routing,
                str(seen.watchers_lost),
                str(seen.parents_lost),
                str(seen.parents_moved),
                f"{seen.rerouted:.0%}" if key.routing == RING else "-",
                f"{seen.calls_before:.1f}",
                f"{seen.calls_after:.1f}",
                f"{seconds(seen.outage[0])} / {seconds(seen.outage[1])}",
                str(seen.lost_changes),
            ]
        )
    heads = ["routing", "watches cut", "runs that it polled", "watches of others moved"]
    heads += ["others' names that now belong elsewhere"]
    heads += ["calls/s before", "after", "until seen again: median / longest", "changes lost"]
    return table(heads, rows)


def memory(_: Results) -> str:
    """Return the table of memory, from measurements of the parts."""
    rows = []
    for parents, tasks, watching in ((100, 100, 1_000), (100, 1_000, 10_000), (20, 10_000, 10_000)):
        for replicas in (1, 2, 4, 8):
            sizes = [
                watch_load(parents, tasks, watching, replicas, ring=ring).mib
                for ring in (False, True)
            ]
            row = [f"{parents} jobs of {tasks:,} tasks", f"{watching:,}", str(replicas)]
            rows.append([*row, *(f"{size:,.0f}" for size in sizes)])
    return table(
        ["watched", "watchers", "replicas", f"{ROBIN}: MiB each", f"{RING}: MiB each"], rows
    )


TABLES: Final[dict[str, Callable[[Results], str]]] = {
    "watch-calls": watch_calls,
    "watch-ages": watch_ages,
    "many-runs": many_runs,
    "watch-jobs": watch_jobs,
    "watchers": watchers,
    "read-runs": reads("read runs"),
    "read-jobs": reads("read jobs"),
    "shares": shares,
    "dip": dip,
    "deaths": deaths,
    "memory": memory,
}


def filled(text: str, made: dict[str, str]) -> str:
    """Replace the table between each pair of markers in a document.

    Raises:
        ValueError: a marker is missing.
    """
    for name, content in made.items():
        begin, end = markers(name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"the document lacks {begin} … {end}")
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n\n{content}\n{end}{after}"
    return text


def markers(name: str) -> Sequence[str]:
    """Return the markers around a table of docs/scaling.md."""
    return f"<!-- simulate: {name} -->", f"<!-- end: {name} -->"
