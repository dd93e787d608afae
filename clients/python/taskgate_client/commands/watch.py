"""`taskgate watch` and `wait`."""

from __future__ import annotations

import sys
import threading
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client import render
from taskgate_client.client import Client
from taskgate_client.commands.calling import (
    Output,
    as_json,
    command,
    error_as_json,
    view_of,
    write_json,
)
from taskgate_client.commands.exit_codes import ExitCode, exit_code_of_counts, exit_code_of_states
from taskgate_client.errors import CallError
from taskgate_client.events import (
    Heartbeat,
    Reconnecting,
    Resumed,
    Snapshot,
    TaskChange,
    WatchEnd,
    WatchEvent,
)
from taskgate_client.names import parse_task_name

REFRESHES_PER_SECOND = 4
_PREFIX = "TASK_STATE_"
_STATES = dict(task_pb2.TaskState.items())
_ENUMS = {**task_pb2.DESCRIPTOR.enum_types_by_name, **task_watch_pb2.DESCRIPTOR.enum_types_by_name}


@command
def watch(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Follow tasks: as a live display on a terminal, otherwise as lines."""
    events = client.watch_tasks(
        _parent_or_names(options.names),
        until_settled=options.until_settled,
        view=view_of(options),
        heartbeat_interval=options.heartbeat,
        timeout=options.timeout,
    )
    with events:
        if options.json:
            return _exit_code_of(_write_events(events))
        if options.plain or not output.out.is_terminal:
            return _exit_code_of(_write_lines(events, output))
        return _exit_code_of(_draw(events, output, _title(options.names)))


@command
def wait(client: Client, output: Output, options: Namespace) -> ExitCode:
    """Wait until a task is in a state."""
    states = [_state(word) for word in options.states]
    if None in states:
        known = ", ".join(name.removeprefix(_PREFIX) for name in _STATES)
        sys.stderr.write(f"taskgate wait: --state must be one of {known}\n")
        return ExitCode.USAGE
    requested = [state for state in states if state is not None]
    with _spinner(output.err, f"waiting for {options.name}"):
        response = client.wait_task(options.name, requested, timeout=options.timeout)
    if options.json:
        write_json(as_json(response))
    else:
        output.out.print(render.task(response.task))
    if not response.done:
        raise CallError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"timed out while the task is {render.state_word(response.task.state)}",
        )
    parent = response.parent_status if response.HasField("parent_status") else None
    if parent is not None:
        output.err.print(Text(render.parent_line(parent)), soft_wrap=True)
    if response.task.state in requested:
        return ExitCode.OK
    return exit_code_of_states([response.task.state], parent)


def event_objects(event: WatchEvent) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects for an event: one, or for a snapshot one per task and two around."""
    match event:
        case Snapshot():
            reason = _enum_name("SnapshotReason", event.reason)
            yield {"event": "snapshot_begin", "reason": reason}
            for task in event.tasks:
                yield {"event": "snapshot_task", "task": as_json(task)}
            yield {"event": "snapshot_end", "taskCount": len(event.tasks)}
        case TaskChange():
            yield {
                "event": "change",
                "kind": _enum_name("TaskChangeKind", event.kind),
                "previousState": _enum_name("TaskState", event.previous_state),
                "sequence": event.sequence,
                "task": as_json(event.task),
            }
        case Heartbeat():
            error = event.upstream_error
            yield {
                "event": "heartbeat",
                "stalenessSeconds": event.staleness,
                "nextPollSeconds": event.next_poll,
                "upstreamError": None if error is None else error_as_json(error),
            }
        case Reconnecting():
            yield {
                "event": "reconnecting",
                "delaySeconds": event.delay,
                "failures": event.failures,
                "error": error_as_json(event.error),
            }
        case Resumed():
            yield {"event": "resumed"}
        case WatchEnd():
            parent = event.parent_status
            yield {
                "event": "end",
                "reason": _enum_name("WatchEndReason", event.reason),
                "counts": as_json(event.counts),
                "parentStatus": None if parent is None else as_json(parent),
            }


def _enum_name(enum: str, value: int) -> str | int:
    """Return the name of an enum value, or the number if this version does not know it."""
    known = _ENUMS[enum].values_by_number.get(value)
    return value if known is None else known.name


def _parent_or_names(names: list[str]) -> str | list[str]:
    if len(names) > 1:
        return names
    try:
        parse_task_name(names[0])
    except ValueError:
        return names[0]  # a parent, or a name that the server rejects
    return names


def _title(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} tasks"


def _write_events(events: Iterable[WatchEvent]) -> WatchEnd | None:
    last = None
    for event in events:
        for each in event_objects(event):
            write_json(each)
        last = event
    return last if isinstance(last, WatchEnd) else None


def _write_lines(events: Iterable[WatchEvent], output: Output) -> WatchEnd | None:
    last = None
    for event in events:
        line = render.event_line(event, output.clock())
        if line is not None:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        last = event
    return last if isinstance(last, WatchEnd) else None


def _draw(events: Iterable[WatchEvent], output: Output, title: str) -> WatchEnd | None:
    display = render.WatchDisplay(title, output.clock())
    lock = threading.Lock()  # rich refreshes in a thread of its own

    def draw() -> RenderableType:
        with lock:
            return display.render(output.clock(), output.out.height)

    last = None
    with Live(get_renderable=draw, console=output.out, refresh_per_second=REFRESHES_PER_SECOND):
        for event in events:
            with lock:
                display.apply(event, output.clock())
            last = event
    return last if isinstance(last, WatchEnd) else None


def _exit_code_of(end: WatchEnd | None) -> ExitCode:
    if end is None:
        return ExitCode.OK
    if end.reason == task_watch_pb2.WATCH_END_REASON_GONE:
        return ExitCode.NOT_FOUND
    return exit_code_of_counts(end.counts, end.parent_status)


def _state(word: str) -> task_pb2.TaskState.ValueType | None:
    return _STATES.get(f"{_PREFIX}{word.removeprefix(_PREFIX)}")


@contextmanager
def _spinner(console: Console, text: str) -> Iterator[None]:
    """Show a spinner inside the `with`, if there is a terminal."""
    if not console.is_terminal:
        yield
        return
    with console.status(Text(text)):
        yield
