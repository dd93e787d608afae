"""`taskgate watch` and `wait`."""

from __future__ import annotations

import sys
import threading
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import grpc
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.command import Screen, as_json, command, view_of, write_json
from taskgate_client.commands.event_json import event_objects
from taskgate_client.commands.exits import Exit, exit_of_counts, exit_of_states
from taskgate_client.errors import CallError
from taskgate_client.events import WatchEnd, WatchEvent
from taskgate_client.following import TaskWatch
from taskgate_client.names import parse_task_name

PICTURES_A_SECOND = 4
_PREFIX = "TASK_STATE_"
_STATES = dict(task_pb2.TaskState.items())


@command
def watch(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Follows tasks: as a picture on a terminal, else as lines."""
    events = client.watch_tasks(
        _watched(options.names),
        until_settled=options.until_settled,
        view=view_of(options),
        heartbeat_interval=options.heartbeat,
        time_limit=options.time_limit,
    )
    with events:
        if options.json:
            return _exit_of_end(_write_events(events))
        if options.plain or not screen.out.is_terminal:
            return _exit_of_end(_write_lines(events, screen))
        return _exit_of_end(_draw(events, screen, _title(options.names)))


@command
def wait(client: Client, screen: Screen, options: Namespace) -> Exit:
    """Waits until a task is in a state."""
    states = [_state(word) for word in options.states]
    if None in states:
        known = ", ".join(name.removeprefix(_PREFIX) for name in _STATES)
        sys.stderr.write(f"taskgate wait: --state must be one of {known}\n")
        return Exit.USAGE
    asked = [state for state in states if state is not None]
    with _spinner(screen.err, f"waiting for {options.name}"):
        answer = client.wait_task(options.name, asked, time_limit=options.time_limit)
    if options.json:
        write_json(as_json(answer))
    else:
        screen.out.print(render.task(answer.task))
    if not answer.done:
        raise CallError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"the time is up, and the task is {render.state_word(answer.task.state)}",
        )
    parent = answer.parent_status if answer.HasField("parent_status") else None
    if parent is not None:
        screen.err.print(Text(render.parent_line(parent)), soft_wrap=True)
    if answer.task.state in asked:
        return Exit.OK
    return exit_of_states([answer.task.state], parent)


def _watched(names: list[str]) -> str | list[str]:
    if len(names) > 1:
        return names
    try:
        parse_task_name(names[0])
    except ValueError:
        return names[0]  # a parent, or the server tells what is wrong with it
    return names


def _title(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} tasks"


def _write_events(events: TaskWatch) -> WatchEnd | None:
    last = None
    for event in events:
        for each in event_objects(event):
            write_json(each)
        last = event
    return last if isinstance(last, WatchEnd) else None


def _write_lines(events: Iterable[WatchEvent], screen: Screen) -> WatchEnd | None:
    last = None
    for event in events:
        line = render.event_line(event, screen.clock())
        if line is not None:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        last = event
    return last if isinstance(last, WatchEnd) else None


def _draw(events: Iterable[WatchEvent], screen: Screen, title: str) -> WatchEnd | None:
    picture = render.WatchPicture(title, screen.clock())
    drawing = threading.Lock()  # rich draws in a thread of its own

    def draw() -> RenderableType:
        with drawing:
            return picture.render(screen.clock(), screen.out.height)

    last = None
    with Live(get_renderable=draw, console=screen.out, refresh_per_second=PICTURES_A_SECOND):
        for event in events:
            with drawing:
                picture.apply(event, screen.clock())
            last = event
    return last if isinstance(last, WatchEnd) else None


def _exit_of_end(end: WatchEnd | None) -> Exit:
    if end is None:
        return Exit.OK
    if end.reason == task_watch_pb2.WATCH_END_REASON_GONE:
        return Exit.NOT_FOUND
    return exit_of_counts(end.counts, end.parent_status)


def _state(word: str) -> task_pb2.TaskState.ValueType | None:
    return _STATES.get(f"{_PREFIX}{word.removeprefix(_PREFIX)}")


@contextmanager
def _spinner(console: Console, text: str) -> Iterator[None]:
    """A sign of life while nothing happens; none where there is no terminal."""
    if not console.is_terminal:
        yield
        return
    with console.status(Text(text)):
        yield
