"""A watch as lines, for where there is no terminal."""

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
from taskgate_client.render.words import one_line, parent_line, settled_words, state_word


def event_line(event: WatchEvent, now: datetime) -> str | None:
    """The line that tells of an event; None for one that is of no interest in a log.

    Args:
        event: what happened.
        now: when it was heard of.
    """
    told = one_line(_told(event))
    return f"{now:%H:%M:%S} {told}" if told else None


def _told(event: WatchEvent) -> str:  # noqa: PLR0911  # one for each kind of event
    match event:
        case Snapshot():
            counts = Counter(int(task.state) for task in event.tasks)
            return f"snapshot of {len(event.tasks)} tasks{_counts(counts)}"
        case TaskChange():
            return _change(event)
        case Heartbeat(upstream_error=None):
            return ""
        case Heartbeat():
            return f"AWS cannot be asked: {event.upstream_error}"
        case Reconnecting():
            return f"lost the server ({event.error}); trying again in {event.delay:.1f} s"
        case Resumed():
            return "going on where it was"
        case WatchEnd():
            line = f"{end_words(event)}{_counts(state_counts(event.counts))}"
            parent = event.parent_status
            return line if parent is None else f"{line}; {parent_line(parent)}"


def end_words(end: WatchEnd) -> str:
    """Return why a watch has ended."""
    if end.reason == task_watch_pb2.WATCH_END_REASON_SETTLED:
        return settled_words(end.counts)
    if end.reason == task_watch_pb2.WATCH_END_REASON_GONE:
        return "AWS has none of it any more"
    return f"ended, reason {end.reason}"


def _change(event: TaskChange) -> str:
    task = event.task
    if event.kind == task_watch_pb2.TASK_CHANGE_KIND_REMOVED:
        return f"{task.name} is gone, was {state_word(task.state)}"
    if event.kind == task_watch_pb2.TASK_CHANGE_KIND_ADDED:
        return f"{task.name} is new: {state_word(task.state)}"
    why = one_line(task.failure_reason or task.status_message)
    moved = f"{state_word(event.previous_state)} -> {state_word(task.state)}"
    if event.previous_state == task.state:
        moved = f"still {state_word(task.state)}, AWS says {one_line(task.native_state)}"
    return f"{task.name} {moved}" + (f": {why}" if why else "")


def _counts(counts: Mapping[int, int]) -> str:
    told = ", ".join(f"{count} {state_word(state)}" for state, count in sorted(counts.items()))
    return f": {told}" if told else ""
