"""The events of a watch as JSON objects, for scripts that read a line at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client.commands.command import as_json, error_as_json
from taskgate_client.events import (
    Heartbeat,
    Reconnecting,
    Resumed,
    Snapshot,
    TaskChange,
    WatchEnd,
    WatchEvent,
)

_ENUMS = {**task_pb2.DESCRIPTOR.enum_types_by_name, **task_watch_pb2.DESCRIPTOR.enum_types_by_name}


def event_objects(event: WatchEvent) -> Iterator[dict[str, Any]]:
    """The objects that tell of an event; a snapshot is a line for each task and two around them."""
    match event:
        case Snapshot():
            reason = _word("SnapshotReason", event.reason)
            yield {"event": "snapshot_begin", "reason": reason}
            for task in event.tasks:
                yield {"event": "snapshot_task", "task": as_json(task)}
            yield {"event": "snapshot_end", "taskCount": len(event.tasks)}
        case TaskChange():
            yield {
                "event": "change",
                "kind": _word("TaskChangeKind", event.kind),
                "previousState": _word("TaskState", event.previous_state),
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
            reason = _word("WatchEndReason", event.reason)
            parent = event.parent_status
            yield {
                "event": "end",
                "reason": reason,
                "counts": as_json(event.counts),
                "parentStatus": None if parent is None else as_json(parent),
            }


def _word(enum: str, value: int) -> str | int:
    """As protobuf's JSON has it: the name, or the number that this version does not know."""
    known = _ENUMS[enum].values_by_number.get(value)
    return value if known is None else known.name
