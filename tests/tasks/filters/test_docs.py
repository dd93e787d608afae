"""The examples and the tables of docs/filters.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgate.v1 import task_pb2
from taskgate_server.tasks.filters.fields import FIELDS, OPERATORS
from taskgate_server.tasks.filters.filter import compile_filter
from taskgate_server.tasks.filters.syntax import MAX_CHARACTERS, MAX_COMPARISONS, MAX_DEPTH
from taskgate_server.tasks.listing.service import MAX_CALLS

DOCS = (Path(__file__).parents[3] / "docs/filters.md").read_text()


def cells(heading: str) -> list[list[str]]:
    part = DOCS.partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def task(**members: object) -> task_pb2.Task:
    made = task_pb2.Task(
        state=task_pb2.TASK_STATE_RUNNING,
        native_state="RUNNING",
        display_name="Align",
        retry_count=0,
    )
    made.start_time.FromJsonString("2026-11-05T00:00:00Z")
    for member, value in members.items():
        if member.endswith("_time"):
            getattr(made, member).FromJsonString(value)
        elif member in {"Frame", "Camera", "Shot name"}:
            kind = "int" if member == "Frame" else "string"
            made.parameters[member].CopyFrom(task_pb2.TaskParameter(**{kind: value}))  # type: ignore[arg-type]  # texts
        else:
            setattr(made, member, value)
    return made


MEANT = {
    "failed": task(state=8),
    "failed or were cancelled": task(state=9),
    "have been running since before November": task(start_time="2026-10-31T23:59:59Z"),
    "have not ended": task(),
    "were retried and have not succeeded": task(retry_count=2),
    "are assigned to a worker of Deadline Cloud": task(native_state="ASSIGNED"),
    "render frames 10 to 19": task(Frame="19"),
    "have a camera other than the main one": task(Camera="side"),
    "have this parameter with this value": task(**{"Shot name": "it's a wrap"}),
    "have this name, and failed or are about to end": task(display_name="DeepVariant", state=5),
}
ENDED = task(
    state=7, end_time="2026-11-06T00:00:00Z", Frame="20", Camera="main", native_state="SUCCEEDED"
)


@pytest.mark.parametrize(("example", "meaning"), cells("Examples"))
def test_examples_match_as_documented(example: str, meaning: str) -> None:
    wanted = compile_filter(example.strip("`"))
    assert wanted.matches(MEANT[meaning])
    assert not wanted.matches(ENDED)


def test_every_example_is_tested() -> None:
    assert {meaning for _, meaning in cells("Examples")} == set(MEANT)


def test_every_field_is_documented() -> None:
    fields = [
        name.strip("` ").partition(".")[0] for row in cells("Fields") for name in row[0].split(",")
    ]
    assert set(fields) == set(FIELDS)


def test_grammar_and_limits_are_documented() -> None:
    assert all(f'"{operator}"' in DOCS for operator in OPERATORS)
    limits = f"{MAX_COMPARISONS} comparisons and {MAX_DEPTH} open parentheses"
    assert f"{MAX_CHARACTERS:,} characters, {limits}" in DOCS
    assert f"at most {MAX_CALLS} calls" in DOCS
