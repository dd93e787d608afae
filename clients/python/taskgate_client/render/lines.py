"""Events of a watch as lines, for output that is not a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from taskgate.v1 import task_watch_pb2
from taskgate_client.events import (
    Heartbeat,
    Reconnecting,
    Resumed,
    Snapshot,
    TaskChange,
    WatchEnd,
    WatchEvent,
)
from taskgate_client.render.tables import state_counts
from taskgate_client.render.text import describe_settled, one_line, parent_line, state_word


def event_line(event: WatchEvent, now: datetime) -> str | None:
    """Return the line for an event; None for one that does not need a line.

    Args:
        event: the event.
        now: when it arrived.
    """
    description = one_line(_describe(event))
    return f"{now:%H:%M:%S} {description}" if description else None


def _describe(event: WatchEvent) -> str:  # noqa: PLR0911  # one for each kind of event
    match event:
        case Snapshot():
            counts = Counter(int(task.state) for task in event.tasks)
            return f"snapshot of {len(event.tasks)} tasks{_counts(counts)}"
        case TaskChange():
            return _change(event)
        case Heartbeat(upstream_error=None):
            return ""
        case Heartbeat():
            return f"polling AWS failed: {event.upstream_error}"
        case Reconnecting():
            return f"connection lost ({event.error}); reconnecting in {event.delay:.1f} s"
        case Resumed():
            return "resumed"
        case WatchEnd():
            line = f"{describe_end(event)}{_counts(state_counts(event.counts))}"
            parent = event.parent_status
            return line if parent is None else f"{line}; {parent_line(parent)}"


def describe_end(end: WatchEnd) -> str:
    """Return why a watch has ended."""
    if end.reason == task_watch_pb2.WATCH_END_REASON_SETTLED:
        return describe_settled(end.counts)
    if end.reason == task_watch_pb2.WATCH_END_REASON_GONE:
        return "no longer exists in AWS"
    return f"ended, reason {end.reason}"


def _change(event: TaskChange) -> str:
    task = event.task
    if event.kind == task_watch_pb2.TASK_CHANGE_KIND_REMOVED:
        return f"{task.name} removed, was {state_word(task.state)}"
    if event.kind == task_watch_pb2.TASK_CHANGE_KIND_ADDED:
        return f"{task.name} added: {state_word(task.state)}"
    reason = one_line(task.failure_reason or task.status_message)
    change = f"{state_word(event.previous_state)} -> {state_word(task.state)}"
    if event.previous_state == task.state:
        change = f"still {state_word(task.state)}, AWS: {one_line(task.native_state)}"
    return f"{task.name} {change}" + (f": {reason}" if reason else "")


def _counts(counts: Mapping[int, int]) -> str:
    text = ", ".join(f"{count} {state_word(state)}" for state, count in sorted(counts.items()))
    return f": {text}" if text else ""
