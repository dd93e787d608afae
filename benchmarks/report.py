"""The results as Markdown: `docs/benchmarks.md` as a whole, and each table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.growth import Growth
from benchmarks.quota import Quota
from benchmarks.results import Results, Row, bars
from benchmarks.scenarios import SCENARIOS, TITLES

TEMPLATE = Path(__file__).with_name("template.md")


def document(results: Results) -> str:
    """Return the document."""
    scenarios = [
        f"## {scenario.title}\n\n{scenario_table(results.scenarios[scenario.name])}"
        for scenario in SCENARIOS
    ]
    return TEMPLATE.read_text().format(
        bars=bars_table(results),
        scenarios="\n".join(scenarios),
        growth=growth_table(results.growth),
        quota=quota_table(results.quota),
        quota_seconds=results.method["quota"],
        runs=results.method["runs"],
        where=table(["", ""], [*results.machine.items(), *results.versions.items()]).rstrip(),
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned Markdown table, with numbers to the right."""
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    is_text = [index == 0 or not _numeric(column[1:]) for index, column in enumerate(columns)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(cells, widths, is_text, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if left else "-" * (width - 1) + ":"
        for width, left in zip(widths, is_text, strict=True)
    ]
    return "\n".join([line(heads), line(rule), *map(line, rows)]) + "\n"


def _numeric(cells: Sequence[str]) -> bool:
    return all(not cell or cell[0].isdigit() or cell[0] == "-" for cell in cells)


def scenario_table(rows: Mapping[str, Row]) -> str:
    """Return the table of a scenario."""
    heads = [
        "",
        "RPC/s",
        "±",
        "x (b)",
        "x (e)",
        "p50 ms",
        "p99 ms",
        "AWS calls / 1,000",
        "CPU us / RPC",
        "refused",
    ]
    return table(
        heads,
        [
            [
                TITLES[peer],
                f"{row.rate:,.0f}",
                f"{row.spread / 2:.0%}",
                _number(row.to_facade, ".2f"),
                _number(row.to_bare, ".2f"),
                f"{row.p50_ms:,.2f}",
                f"{row.p99_ms:,.2f}",
                f"{row.aws_calls:,.1f}",
                _number(row.cpu_us, ",.0f"),
                str(row.refused),
            ]
            for peer, row in rows.items()
        ],
    )


def bars_table(results: Results) -> str:
    """Return the table of bars and whether they are met."""
    return table(
        ["scenario", "wanted", "seen", ""],
        [
            [bar.name, bar.wanted, bar.seen, "met" if bar.met else "**not met**"]
            for bar in bars(results)
        ],
    )


def growth_table(growth: Sequence[Growth]) -> str:
    """Return the table of CPU and memory by the number of callers."""
    return table(
        ["callers", "RPC/s", "CPU us / RPC", "memory MiB", "KiB / caller", "refused"],
        [
            [
                f"{each.callers:,}",
                f"{each.rate:,.0f}",
                f"{each.cpu_us:,.0f}",
                f"{each.memory_kib / 1024:.1f}",
                f"{each.memory_kib / each.callers:.1f}",
                f"{each.refused:,}",
            ]
            for each in growth
        ],
    )


def quota_table(quota: Mapping[str, Quota]) -> str:
    """Return the table of the quota scenario, with one column for each server."""
    lines: dict[str, Callable[[Quota], str]] = {
        "calls": lambda each: f"{each.calls:,}",
        "answered": lambda each: f"{each.answered:,}",
        "fresh": lambda each: f"{each.fresh:.1%}",
        "refused": lambda each: (
            ", ".join(f"{n:,} {code}" for code, n in each.refused.items()) or "0"
        ),
        "age of answers, p50 / p99 / most": lambda each: (
            f"{each.age_p50:.2f} / {each.age_p99:.2f} / {each.age_max:.2f} s"
        ),
        "wait for answers, p50 / p99": lambda each: f"{each.wait_p50:.2f} / {each.wait_p99:.2f} s",
        "AWS calls": lambda each: f"{each.aws_calls:,}",
        "most calls of an operation in a second, after the first": lambda each: (
            f"{each.most_per_second:,}"
        ),
        "throttled by AWS": lambda each: f"{each.throttled:,}",
        "throttled after the first second": lambda each: f"{each.throttled_later:,}",
    }
    return table(
        ["", *(TITLES[name] for name in quota)],
        [[name, *(show(each) for each in quota.values())] for name, show in lines.items()],
    )


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
