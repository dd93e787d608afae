"""The corpus of workflow definitions: one folder for each language feature, and its score.

A folder has a definition and `expected.yaml`: the `parameters` of a run, and its `tasks` in the
order of the plan, each with the members that differ from the defaults of `_TASK`. A `deviation`
says why the emulator makes other tasks today; such a case lowers the score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from taskgate_emulator.workflows.definition import open_definition
from tests.support.omics_runs import zip_of

_CORPUS = Path(__file__).with_name("corpus")
_TASK: Mapping[str, Any] = {"cpus": 1, "memory": 1, "gpus": 0, "image": None, "after": []}


@dataclass(frozen=True, slots=True)
class Case:
    """A definition of the corpus and what a run of it does."""

    language: str
    feature: str
    files: Mapping[str, str]
    parameters: Mapping[str, Any]
    tasks: list[dict[str, Any]]
    deviation: str | None

    def planned(self) -> list[dict[str, Any]]:
        """Return the tasks that the emulator makes."""
        calls = open_definition(zip_of(self.files), None, None).plan_calls(self.parameters)
        return [
            {
                "name": call.name,
                "cpus": call.cpus,
                "memory": call.memory,
                "gpus": call.gpus,
                "image": call.image,
                "after": [calls[position].name for position in call.after],
            }
            for call in calls
        ]

    def score(self) -> float:
        """Return the share of the tasks that are right in every member."""
        planned = {task["name"]: task for task in self.planned()}
        right = sum(planned.get(task["name"]) == task for task in self.tasks)
        return right / max(len(planned), len(self.tasks), 1)


def read_corpus() -> list[Case]:
    """Return all cases, sorted by language and feature."""
    return [_case(path.parent) for path in sorted(_CORPUS.glob("*/*/expected.yaml"))]


def print_scores() -> None:
    """Print the score of each language, and the cases that lower it."""
    cases = read_corpus()
    for language in sorted({case.language for case in cases}):
        own = [case for case in cases if case.language == language]
        score = sum(case.score() for case in own) / len(own)
        print(f"{language:10} {score:7.1%} of {len(own)} definitions")  # noqa: T201 its purpose
    for case in cases:
        if case.deviation:
            print(f"  {case.language}/{case.feature}: {case.deviation}")  # noqa: T201 its purpose


def _case(folder: Path) -> Case:
    expected = yaml.safe_load((folder / "expected.yaml").read_text())
    files = {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "expected.yaml"
    }
    return Case(
        language=folder.parent.name,
        feature=folder.name,
        files=files,
        parameters=expected.get("parameters", {}),
        tasks=[{**_TASK, **task} for task in expected["tasks"]],
        deviation=expected.get("deviation"),
    )


if __name__ == "__main__":
    print_scores()
