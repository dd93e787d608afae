"""Many tasks as a table with a row for each, or as a bar for each state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_client.render.text import (
    age,
    describe_settled,
    format_time,
    one_line,
    parent_line,
    run_time,
    state_style,
    state_text,
    state_word,
)

_BAR_WIDTH = 40
NARROW_WIDTH = 60
"""Width of a terminal, in columns, below which a table has only names and states."""


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
        tasks: to show.
        parent: prefix that is left out of the names; empty for full names.
        now: the current time, timezone-aware.
        width: of the terminal, in columns; a narrow one shows only names and states.
        parameters: show the parameters of each task.
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
            row[1] = state_text(task.state)
        if parameters:
            row.append(Text(_parameters(task)))
        table.add_row(*row)
    return table


def summary(message: task_service_pb2.SummarizeTasksResponse, parent: str) -> RenderableType:
    """Render the number of tasks by state, and the state of their parent."""
    parent = one_line(parent)
    heading = Text(parent, style="bold", overflow="fold")
    details = []
    if message.HasField("parent_status"):
        details.append(parent_line(message.parent_status))
    elif message.native_state:  # of an older server
        details.append(f"AWS: {one_line(message.native_state)}")
    if message.HasField("first_start_time"):
        details.append(f"first started {format_time(message.first_start_time)}")
    if message.HasField("last_change_time"):
        details.append(f"last changed {format_time(message.last_change_time)}")
    if message.display_name:
        heading = Text(one_line(message.display_name), style="bold").append(f"  {parent}", "dim")
    counts = state_counts(message.counts)
    parts: list[RenderableType] = [heading]
    parts += [Text(detail, style="dim") for detail in details]
    parts += [bars(counts, message.counts.total)]
    parts += [Text(f"{message.counts.total} tasks, {describe_settled(message.counts)}")]
    if message.failed_tasks:
        parts.append(Text("failed", style="bold red"))
        parts += [Text(f"  {one_line(name)}", overflow="fold") for name in message.failed_tasks]
    return Group(*parts)


def bars(counts: Mapping[int, int], total: int) -> Table:
    """Return a table with a bar for each state."""
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
        table.add_row(state_text(each), bar, str(count), percent)
    return table


def state_counts(counts: task_pb2.TaskCounts) -> dict[int, int]:
    """Return the counts by state."""
    return {each.state: each.count for each in counts.states}


def _row(task: task_pb2.Task, parent: str, now: datetime) -> list[Text]:
    name = Text(one_line(task.name.removeprefix(f"{parent}/") if parent else task.name))
    if task.display_name:
        name.append(f"  {one_line(task.display_name)}", style="italic")
    state = state_text(task.state)
    if task.native_state != state_word(task.state):
        state.append(f" {one_line(task.native_state)}", style="dim")
    created = age(task.create_time, now) if task.HasField("create_time") else ""
    tries = str(task.retry_count + 1) if task.HasField("retry_count") else ""
    return [name, state, Text(created), Text(run_time(task, now)), Text(tries)]


def _parameters(task: task_pb2.Task) -> str:
    texts = []
    for name, value in sorted(task.parameters.items()):
        kind = value.WhichOneof("value")
        texts.append(f"{name}={getattr(value, kind) if kind else ''}")
    return one_line(" ".join(texts))
