"""The results as Markdown: `docs/benchmarks.md` as a whole, and each table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.bars import Bar
from benchmarks.growth import Growth
from benchmarks.quota import Quota
from benchmarks.rest import Rest
from benchmarks.results import Results, Row
from benchmarks.scenarios import PEERS, SCENARIOS, Scenario

TEMPLATE = Path(__file__).with_name("template.md")
MISSING = "Not measured.\n"


def document(results: Results, bars: Sequence[Bar]) -> str:
    """Return the document."""
    scenarios = [
        f"## {scenario.title}\n\n"
        f"{scenario_table(scenario, results.scenarios.get(scenario.name, {}))}"
        for scenario in SCENARIOS
    ]
    return TEMPLATE.read_text().format(
        bars=bars_table(bars),
        failures=failures_list(results.failures),
        scenarios="\n".join(scenarios),
        growth=growth_table(results.growth),
        rest=rest_table(results.rest),
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


def scenario_table(scenario: Scenario, rows: Mapping[str, Row]) -> str:
    """Return the table of a scenario, without columns that say nothing of it."""
    if not rows:
        return MISSING
    columns: dict[str, Callable[[Row], str]] = {
        "RPC/s": lambda row: row.rate.show(",.0f"),
        "x (b)": lambda row: row.to_facade.show(".2f"),
        "x (e)": lambda row: row.to_bare.show(".2f"),
        "p50 ms": lambda row: row.p50_ms.show(",.2f"),
        "p99 ms": lambda row: row.p99_ms.show(",.2f"),
        "AWS calls / 1,000": lambda row: row.aws_calls.show(",.1f"),
        "CPU us / RPC": lambda row: row.cpu_us.show(",.0f"),
    }
    if scenario.callers == 1:
        columns["p50 above (a)"] = lambda row: row.p50_above_direct.show(".2f")
    else:
        columns["CPU above (e)"] = lambda row: row.cpu_above_bare.show(",.0f")
    columns["refused"] = lambda row: str(row.refused)
    return table(
        ["", *columns],
        [
            [PEERS[peer].title, *(show(row) for show in columns.values())]
            for peer, row in rows.items()
        ],
    )


def bars_table(bars: Sequence[Bar]) -> str:
    """Return the table of bars and whether they are met."""
    return table(
        ["scenario", "wanted", "seen", ""],
        [[bar.name, bar.wanted, bar.seen, "met" if bar.met else "**not met**"] for bar in bars],
    )


def failures_list(failures: Mapping[str, str]) -> str:
    """Return what could not be measured, as a list; empty if all was."""
    if not failures:
        return ""
    lines = (f"- {what}: {' '.join(why.split())}" for what, why in failures.items())
    return "\n".join(["", "Failed, in some or all rounds:", "", *lines, ""])


def growth_table(growth: Sequence[Growth]) -> str:
    """Return the table of CPU and memory by the number of callers."""
    if not growth:
        return MISSING
    return table(
        ["callers", "RPC/s", "CPU us / RPC", "x CPU", "memory MiB", "KiB / caller", "refused"],
        [
            [
                f"{each.callers:,}",
                each.rate.show(",.0f"),
                each.cpu_us.show(",.0f"),
                each.cpu_to_few.show(".2f"),
                each.memory_kib.divided(1024).show(".1f"),
                each.memory_kib.divided(each.callers).show(".1f"),
                f"{each.refused:,}",
            ]
            for each in growth
        ],
    )


def rest_table(rest: Rest | None) -> str:
    """Return the table of a server at rest."""
    if rest is None:
        return MISSING
    return table(["RSS MiB", "threads"], [[rest.rss_mib.show(".1f"), rest.threads.show(".0f")]])


def quota_table(quota: Mapping[str, Quota]) -> str:
    """Return the table of the quota scenario, with one column for each server."""
    if not quota:
        return MISSING
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
        ["", *(PEERS[name].title for name in quota)],
        [[name, *(show(each) for each in quota.values())] for name, show in lines.items()],
    )
