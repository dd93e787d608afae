"""Many tasks: a row for each, or a bar for each state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_client.render.words import (
    age,
    moment,
    one_line,
    parent_line,
    run_time,
    settled_words,
    state,
    state_style,
    state_word,
)

_BAR_WIDTH = 40
NARROW_WIDTH = 60
"""Columns of a terminal below which a table has names and states alone."""


def task_table(
    tasks: Iterable[task_pb2.Task],
    parent: str,
    now: datetime,
    *,
    width: int,
    parameters: bool = False,
) -> Table:
    """Return a table with a row for each task.

    Args:
        tasks: those to show.
        parent: their names are told from there on; empty for whole names.
        now: the present time, aware.
        width: of the terminal, in columns; a narrow one shows names and states alone.
        parameters: whether to show what each task was given.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("task", overflow="fold", ratio=1)
    headings = ("state",) if width < NARROW_WIDTH else ("state", "age", "ran", "tries")
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="left" if heading == "state" else "right")
    if parameters:
        table.add_column("parameters", overflow="fold")
    for task in tasks:
        row = _row(task, parent, now)[: 1 + len(headings)]
        if width < NARROW_WIDTH:
            row[1] = state(task.state)
        if parameters:
            row.append(Text(_parameters(task)))
        table.add_row(*row)
    return table


def summary(message: task_service_pb2.SummarizeTasksResponse, parent: str) -> RenderableType:
    """How many tasks of a parent are in which state."""
    parent = one_line(parent)
    heading = Text(parent, style="bold", overflow="fold")
    details = []
    if message.HasField("parent_status"):
        details.append(parent_line(message.parent_status))
    elif message.native_state:  # of an older server
        details.append(f"AWS says {one_line(message.native_state)}")
    if message.HasField("first_start_time"):
        details.append(f"first started {moment(message.first_start_time)}")
    if message.HasField("last_change_time"):
        details.append(f"last changed {moment(message.last_change_time)}")
    if message.display_name:
        heading = Text(one_line(message.display_name), style="bold").append(f"  {parent}", "dim")
    counts = state_counts(message.counts)
    parts: list[RenderableType] = [heading]
    parts += [Text(detail, style="dim") for detail in details]
    parts += [bars(counts, message.counts.total)]
    parts += [Text(f"{message.counts.total} tasks, {settled_words(message.counts)}")]
    if message.failed_tasks:
        parts.append(Text("failed", style="bold red"))
        parts += [Text(f"  {one_line(name)}", overflow="fold") for name in message.failed_tasks]
    return Group(*parts)


def bars(counts: Mapping[int, int], total: int) -> Table:
    """A bar for each state that a task is in."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(min_width=4, max_width=_BAR_WIDTH)  # it shrinks first
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    for each, count in counts.items():
        style = state_style(each)
        bar = ProgressBar(
            total=max(total, 1),
            completed=count,
            complete_style=style,
            finished_style=style,
        )
        percent = f"{100 * count / max(total, 1):.0f}%"
        table.add_row(state(each), bar, str(count), percent)
    return table


def state_counts(counts: task_pb2.TaskCounts) -> dict[int, int]:
    """How many are in each state."""
    return {each.state: each.count for each in counts.states}


def _row(task: task_pb2.Task, parent: str, now: datetime) -> list[Text]:
    name = Text(one_line(task.name.removeprefix(f"{parent}/") if parent else task.name))
    if task.display_name:
        name.append(f"  {one_line(task.display_name)}", style="italic")
    word = state(task.state)
    if task.native_state != state_word(task.state):
        word.append(f" {one_line(task.native_state)}", style="dim")
    created = age(task.create_time, now) if task.HasField("create_time") else ""
    tries = str(task.retry_count + 1) if task.HasField("retry_count") else ""
    return [name, word, Text(created), Text(run_time(task, now)), Text(tries)]


def _parameters(task: task_pb2.Task) -> str:
    told = []
    for name, value in sorted(task.parameters.items()):
        kind = value.WhichOneof("value")
        told.append(f"{name}={getattr(value, kind) if kind else ''}")
    return one_line(" ".join(told))
