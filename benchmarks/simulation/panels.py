"""What is drawn: lines through points, as data that `plots` draws elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from benchmarks.simulation.experiments import WINDOW_SECONDS
from benchmarks.simulation.routing import RING, ROBIN
from benchmarks.simulation.scenarios import DIP, Key, Results
from benchmarks.simulation.tables import QUOTA, missed, of_group, on_paper

Panel: TypeAlias = dict[str, Any]
Points: TypeAlias = Iterable[tuple[float, float]]

STYLES: Final = {ROBIN: "robin", RING: "ring"}


def line(label: str, points: Points, style: str) -> dict[str, Any]:
    """Draw a line through the points that exist."""
    known = [[x, y] for x, y in points if y != math.inf]
    return {"label": label, "points": known, "style": style}


def all_panels(results: Results) -> list[Panel]:
    """Return the panels of the figure."""
    return [
        _calls(results),
        _ages(results),
        _watchers(results),
        _reads(results),
        _rates(results),
        _dip(results),
    ]


def _keys(results: Results, group: str, routing: str) -> list[Key]:
    """Return the keys of a line; the key of one replica begins both lines."""
    keys = of_group(results, group)
    return [key for key in keys if key.routing == routing or key.replicas == 1]


def _calls(results: Results) -> Panel:
    lines = []
    for routing, style in STYLES.items():
        keys = [key for key in _keys(results, "watch runs", routing) if key.size == 10]  # noqa: PLR2004
        drawn = [(key.replicas, results[key].calls) for key in keys]
        expected = [
            (key.replicas, on_paper(Key(key.group, key.size, key.replicas, routing))[1].calls)
            for key in keys
        ]
        lines += [line(routing, drawn, style), line("", expected, f"{style} paper")]
    lines.append(line("quota", [(1, QUOTA), (16, QUOTA)], "limit"))
    return {
        "title": "AWS calls/s, 10 runs watched (dotted: on paper)",
        "x": "replicas",
        "log": "",
        "lines": lines,
    }


def _ages(results: Results) -> Panel:
    lines = []
    for routing, style in STYLES.items():
        keys = [key for key in _keys(results, "watch runs", routing) if key.replicas == 4]  # noqa: PLR2004
        for index, label, kind in ((0, "median", ""), (1, "99 %", " paper")):
            points = [(key.size, results[key].delay[index]) for key in keys]
            lines.append(line(f"{routing}, {label}", points, style + kind))
    return {
        "title": "seconds until a change is seen, 4 replicas",
        "x": "runs watched",
        "log": "xy",
        "lines": lines,
    }


def _watchers(results: Results) -> Panel:
    lines = [
        line(
            routing,
            [(key.size, results[key].calls) for key in _keys(results, "watchers", routing)],
            style,
        )
        for routing, style in STYLES.items()
    ]
    return {
        "title": "AWS calls/s, 10 runs, 4 replicas",
        "x": "watchers",
        "log": "x",
        "lines": [*lines, line("quota", [(10, QUOTA), (10_000, QUOTA)], "limit")],
    }


def _reads(results: Results) -> Panel:
    lines = []
    for routing, style in STYLES.items():
        keys = [key for key in of_group(results, "read jobs") if key.replicas == 16]  # noqa: PLR2004
        keys = [key for key in keys if key.routing == routing]
        lines += [
            line(f"{routing}, 16 replicas", [(k.size, results[k].calls) for k in keys], style),
            line("", [(k.size, missed(k)) for k in keys], f"{style} paper"),
        ]
    alone = [key for key in of_group(results, "read jobs") if key.replicas == 1]
    lines.append(line("1 replica", [(key.size, results[key].calls) for key in alone], "one"))
    return {
        "title": "AWS calls/s, Deadline Cloud (dotted: on paper)",
        "x": "readers, each every 5 s",
        "log": "xy",
        "lines": lines,
    }


def _rates(results: Results) -> Panel:
    key = next(key for key in of_group(results, "quota omics") if key.replicas == 4)  # noqa: PLR2004
    rates = [(at, each) for at, each in results[key].rates if at <= 240]  # noqa: PLR2004
    lines = [
        line("each of 4" if number == 0 else "", [(at, each[number]) for at, each in rates], "one")
        for number in range(key.replicas)
    ]
    fair = QUOTA / key.replicas
    lines.append(line("an equal part", [(0, fair), (240, fair)], "limit"))
    return {
        "title": "calls/s that replicas allow themselves, quota 10",
        "x": "seconds",
        "log": "",
        "lines": lines,
    }


def _dip(results: Results) -> Panel:
    lines = []
    for key in of_group(results, "dip"):
        points = [(n * WINDOW_SECONDS, each) for n, each in enumerate(results[key].served)]
        replicas = "replica" if key.replicas == 1 else "replicas"
        style = "one" if key.replicas == 1 else "ring"
        lines.append(line(f"{key.replicas} {replicas}", points, style))
    edges = [(0, QUOTA), (DIP.begins, QUOTA), (DIP.begins, DIP.low), (DIP.ends, DIP.low)]
    lines.append(line("quota", [*edges, (DIP.ends, QUOTA), (720, QUOTA)], "limit"))
    return {
        "title": "calls/s served, quota halved for a while",
        "x": "seconds",
        "log": "",
        "lines": lines,
    }
