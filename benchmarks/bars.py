"""What must hold of Taskgate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.figures import NONE, Figure
from benchmarks.growth import FEW_CALLERS, MORE_CALLERS
from benchmarks.quota import Quota
from benchmarks.results import Results, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Something that must hold; what was not measured does not."""

    name: str
    wanted: str
    seen: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A bar of a scenario's row of Taskgate."""

    scenario: str
    name: str
    what: str
    figure: Callable[[Row], Figure]
    least: float | None = None
    most: float | None = None
    form: str = ".2f"

    def judge(self, row: Row | None) -> Bar:
        return _bar(
            (self.name, self.what),
            NONE if row is None else self.figure(row),
            least=self.least,
            most=self.most,
            form=self.form,
        )


MANY = "1,000 callers, distinct tasks, 30 ms"
BUSY = "128 callers, distinct tasks"
RULES = (
    _Rule(scenario="many", name=MANY, what="x (e)", figure=lambda row: row.to_bare, least=0.65),
    _Rule(
        scenario="many",
        name=MANY,
        what="us of CPU above (e)",
        figure=lambda row: row.cpu_above_bare,
        most=110,
        form=".0f",
    ),
    _Rule(
        scenario="many",
        name=MANY,
        what="AWS calls per 1,000 RPCs",
        figure=lambda row: row.aws_calls,
        most=20,
        form=".1f",
    ),
    _Rule(
        scenario="same",
        name="1,000 callers, the same task, 30 ms",
        what="x (e)",
        figure=lambda row: row.to_bare,
        least=0.9,
    ),
    _Rule(
        scenario="busy",
        name=f"{BUSY}, 0 ms",
        what="x (b)",
        figure=lambda row: row.to_facade,
        least=4.5,
    ),
    _Rule(
        scenario="busy-slow",
        name=f"{BUSY}, 30 ms",
        what="ms of p99",
        figure=lambda row: row.p99_ms,
        most=45,
        form=".1f",
    ),
    _Rule(
        scenario="one-slow",
        name="1 caller, 30 ms",
        what="ms of p50 above (a)",
        figure=lambda row: row.p50_above_direct,
        most=0.3,
    ),
    _Rule(
        scenario="one-fast",
        name="1 caller, 0 ms",
        what="x (b)",
        figure=lambda row: row.to_facade,
        least=1.4,
    ),
)


def bars(results: Results, chosen: list[str]) -> list[Bar]:
    """Return the bars of the chosen scenarios."""
    made = [
        rule.judge(results.scenarios.get(rule.scenario, {}).get("taskgate"))
        for rule in RULES
        if rule.scenario in chosen
    ]
    if "growth" in chosen:
        made += _growth(results)
    if "rest" in chosen:
        made += _rest(results)
    if "quota" in chosen:
        made += _quota(results.quota.get("taskgate"))
    return made


def _bar(
    about: tuple[str, str],
    figure: Figure,
    *,
    least: float | None = None,
    most: float | None = None,
    form: str = ".0f",
) -> Bar:
    name, what = about
    met = figure.is_known
    wanted = ""
    if least is not None:
        wanted, met = f"at least {least:g} {what}", met and figure.median >= least
    if most is not None:
        wanted, met = f"at most {most:g} {what}", met and figure.median <= most
    seen = figure.show(form) if figure.is_known else "not measured"
    return Bar(name=name, wanted=wanted, seen=seen, met=met)


def _growth(results: Results) -> Iterator[Bar]:
    by_callers = {each.callers: each for each in results.growth}
    many = by_callers.get(MORE_CALLERS)
    name = f"growth to {MORE_CALLERS:,} callers"
    refused = NONE if many is None else Figure.of([many.refused])
    # To refuse costs little: where calls were refused, the figure says nothing.
    cpu = NONE if many is None or many.refused else many.cpu_to_few
    memory = NONE if many is None else many.memory_kib.divided(MORE_CALLERS)
    yield _bar((name, "calls refused or lost"), refused, most=0)
    yield _bar((name, f"x CPU of an RPC at {FEW_CALLERS} callers"), cpu, most=1, form=".2f")
    yield _bar((name, "KiB for a waiting caller"), memory, most=20, form=".1f")


def _rest(results: Results) -> Iterator[Bar]:
    rest = results.rest
    yield _bar(("at rest", "MiB of RSS"), rest.rss_mib if rest else NONE, most=85, form=".1f")
    yield _bar(("at rest", "threads"), rest.threads if rest else NONE, most=12)


def _quota(quota: Quota | None) -> Iterator[Bar]:
    name = "HealthOmics at 10 calls/s"

    def figure(value: Callable[[Quota], float]) -> Figure:
        return NONE if quota is None else Figure.of([value(quota)])

    later, most = (
        figure(lambda each: each.throttled_later),
        figure(lambda each: each.most_per_second),
    )
    yield _bar((name, "throttles after the first second"), later, most=0)
    yield _bar((name, "calls of an operation in a second"), most, most=10)
    yield Bar(
        name=name,
        wanted="every request answered, within `max_age` and 1 s",
        seen="not measured" if quota is None else f"{quota.fresh:.1%}",
        met=quota is not None and quota.fresh == 1,
    )
