"""Run the cases with the runners of some languages, and print a table: case by language."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from conformance.cases import Case, load_cases, run_case
from conformance.runners import LANGUAGES, Language, Runner, RunnerError
from conformance.world import World

Outcomes = Mapping[str, Mapping[str, Sequence[str]]]
"""The failures by language and case."""


def main() -> int:
    """Return the exit status: 1 if any case failed."""
    arguments = _arguments()
    cases = [each for each in load_cases() if arguments.only.lower() in each.name.lower()]
    outcomes = {}
    with World() as world:
        for language in arguments.languages:
            outcomes[language] = run_language(LANGUAGES[language], cases, world)
    return report(cases, outcomes)


def report(cases: Sequence[Case], outcomes: Outcomes) -> int:
    """Print the table and the failures. Return the exit status."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table(cases, outcomes))
    failures = [
        f"{language}: {case}: {fault}"
        for language, by_case in outcomes.items()
        for case, faults in by_case.items()
        for fault in faults
    ]
    for failure in failures:
        console.print(failure, markup=False, highlight=False, style="red")
    return 1 if failures else 0


def run_language(
    language: Language, cases: Sequence[Case], world: World
) -> Mapping[str, Sequence[str]]:
    """Return the failures of each case."""
    outcomes: dict[str, Sequence[str]] = {}
    remaining = list(cases)
    while remaining:  # after a runner has crashed, another one runs the remaining cases
        try:
            with Runner(language) as runner:
                while remaining:
                    case = remaining.pop(0)
                    outcomes[case.name] = run_case(case, runner, world)
        except RunnerError as error:
            outcomes[case.name] = [str(error)]
    return outcomes


def table(cases: Sequence[Case], outcomes: Outcomes) -> Table:
    """Return a table with a row for each case and a column for each language."""
    result = Table("feature", "case", *outcomes, title="Conformance", title_justify="left")
    for case in cases:
        marks = (
            "[red]✗[/]" if outcomes[language][case.name] else "[green]✓[/]" for language in outcomes
        )
        result.add_row(case.feature, case.name, *marks)
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.add_argument(
        "languages",
        nargs="*",
        metavar="LANGUAGE",
        help=f"one of {', '.join(LANGUAGES)}; default: all",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only cases with TEXT in their name"
    )
    arguments = parser.parse_args()
    for language in arguments.languages:
        if language not in LANGUAGES:
            parser.error(f"unknown language {language}; use {', '.join(LANGUAGES)}")
    arguments.languages = arguments.languages or list(LANGUAGES)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
