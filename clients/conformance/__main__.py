"""Runs the cases with the runners of some languages, and prints a table: case by language."""

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
"""What went wrong, by language and case."""


def main() -> int:
    """Returns the exit status: 1 if any case failed."""
    arguments = _arguments()
    cases = [each for each in load_cases() if arguments.only.lower() in each.name.lower()]
    outcomes = {}
    with World() as world:
        for language in arguments.languages:
            outcomes[language] = run_language(LANGUAGES[language], cases, world)
    return report(cases, outcomes)


def report(cases: Sequence[Case], outcomes: Outcomes) -> int:
    """Prints the table and what went wrong. Returns the exit status."""
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
    """What went wrong in each case."""
    outcomes: dict[str, Sequence[str]] = {}
    left = list(cases)
    while left:  # a runner that broke is started anew for the cases after
        try:
            with Runner(language) as runner:
                while left:
                    case = left.pop(0)
                    outcomes[case.name] = run_case(case, runner, world)
        except RunnerError as error:
            outcomes[case.name] = [str(error)]
    return outcomes


def table(cases: Sequence[Case], outcomes: Outcomes) -> Table:
    """A row for each case, a column for each language."""
    made = Table("feature", "case", *outcomes, title="Conformance", title_justify="left")
    for case in cases:
        marks = (
            "[red]✗[/]" if outcomes[language][case.name] else "[green]✓[/]" for language in outcomes
        )
        made.add_row(case.feature, case.name, *marks)
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.add_argument(
        "languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; all of them"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with TEXT in their names")
    arguments = parser.parse_args()
    for language in arguments.languages:
        if language not in LANGUAGES:
            parser.error(f"there is no language {language}; there are {', '.join(LANGUAGES)}")
    arguments.languages = arguments.languages or list(LANGUAGES)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
