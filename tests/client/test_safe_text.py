"""Untrusted text cannot control a terminal, or reorder or hide text; states stay visible."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from taskgate.v1 import task_pb2, task_service_pb2, task_watch_pb2
from taskgate_client import Snapshot, TaskChange
from taskgate_client.commands.calling import write_json
from taskgate_client.render import WatchDisplay, event_line, printable, summary, task, task_table
from taskgate_client.render.text import STYLES, state_word
from tests.support.fake_service import RUN

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MARK = "\N{REPLACEMENT CHARACTER}"
FAILED = task_pb2.TASK_STATE_FAILED
TEXTS = {
    "override": "safe\u202egpj.exe\u202c",
    "isolate": "a\u2066b\u2069c",
    "marks": "a\u200e\u200f\u061cb",
    "zero width": "a\u200b\u200c\u200d\u2060\ufeffb",
    "tags": "a\U000e0041\U000e007fb",
    "fillers": "a\u3164\u115fb",
    "selectors": "a\U000e0100b",
    "separators": "a\u2028b\u2029c",
    "C1": "a\x9b31mb",
    "ANSI": "\x1b[31mred\x1b]0;title\x07",
    "NUL": "a\x00b\x7f",
    "long": "\u202e" + "N" * 500,
}


def hidden(text: str) -> list[str]:
    """Return the characters that could control a terminal, or reorder or hide text."""
    return [
        f"U+{ord(each):04X}"
        for each in text
        if each != "\n"
        and (
            unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")
            or each in "\u3164\u115f\U000e0100"
        )
    ]


def a_task(text: str, state: task_pb2.TaskState.ValueType = FAILED) -> task_pb2.Task:
    return task_pb2.Task(
        name=f"{RUN}/tasks/1",
        display_name=text,
        state=state,
        native_state=text,
        failure_reason=text,
        status_message=text,
        parameters={text: task_pb2.TaskParameter(string=text)},
    )


def display(*tasks: task_pb2.Task) -> RenderableType:
    watch = WatchDisplay(RUN, NOW)
    watch.apply(Snapshot(tasks=tasks, reason=task_watch_pb2.SNAPSHOT_REASON_NEW_WATCH), NOW)
    return watch.render(NOW, 40)


def shown(renderable: RenderableType, width: int) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def counted(*tasks: task_pb2.Task, text: str = "") -> task_service_pb2.SummarizeTasksResponse:
    states = [task_pb2.StateCount(state=each.state, count=1) for each in tasks]
    return task_service_pb2.SummarizeTasksResponse(
        native_state=text,
        display_name=text,
        failed_tasks=[text],
        counts=task_pb2.TaskCounts(total=len(tasks), states=states),
    )


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_invisible_characters_never_reach_a_terminal(text: str, width: int) -> None:
    each = a_task(text)
    for renderable in (
        task(each),
        task_table([each], RUN, NOW, width=width, parameters=True),
        summary(counted(each, text=text), text),
        display(each),
    ):
        output = shown(renderable, width)
        assert hidden(output) == []
        assert max(cell_len(line) for line in output.splitlines()) <= width
    for state in (FAILED, task_pb2.TASK_STATE_RUNNING):
        change = TaskChange(
            task=each, kind=task_watch_pb2.TASK_CHANGE_KIND_UPDATED, previous_state=state
        )
        line = event_line(change, NOW)
        assert line is not None
        assert hidden(line) == []


@given(st.text())
def test_any_text_becomes_printable(text: str) -> None:
    safe = printable(text)
    assert hidden(safe.replace("\t", "")) == []
    assert len(safe) == len(text)
    kept = [(a, b) for a, b in zip(text, safe, strict=True) if b != MARK]
    assert all(a == b for a, b in kept)


@pytest.mark.parametrize("text", ["مهمة", "漢字 🎬", "é e\u0301", "a\tb\nc"])
def test_text_of_all_scripts_is_unchanged(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_json_escapes_invisible_characters(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"displayName": text, "other": "漢字"})
    line = capsys.readouterr().out
    assert hidden(line) == []
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"displayName": text, "other": "漢字"}
    assert "漢字" in line


@pytest.mark.parametrize("width", [40, 59, 60, 80])
@pytest.mark.parametrize("state", STYLES)
def test_states_are_never_cut_on_narrow_terminals(
    state: task_pb2.TaskState.ValueType, width: int
) -> None:
    tasks = [a_task("A very long name of a task " * 4, state), a_task("漢字" * 60, state)]
    for each in tasks:
        each.start_time.FromDatetime(NOW)
        each.end_time.FromDatetime(NOW)
    outputs = [
        shown(task_table(tasks, RUN, NOW, width=width), width),
        shown(summary(counted(*tasks), RUN), width),
        shown(display(*tasks), width),
    ]
    for output in outputs:
        assert state_word(state) in output
        assert max(cell_len(line) for line in output.splitlines()) <= width
