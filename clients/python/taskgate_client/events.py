"""What a watch tells, as values to match on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client.errors import CallError


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All the tasks there are. Whatever the watch told before is void."""

    tasks: tuple[task_pb2.Task, ...]
    reason: task_watch_pb2.SnapshotReason.ValueType
    """Why there is one: the watch is new, or the server could not go on where it was."""
    observe_time: datetime | None = None
    """When AWS gave the oldest answer of which the snapshot was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A task came, changed or went."""

    task: task_pb2.Task
    """As it now is; as it last was, if it went."""
    kind: task_watch_pb2.TaskChangeKind.ValueType
    """TASK_CHANGE_KIND_ADDED, _UPDATED or _REMOVED, or a number that a newer server knows."""
    previous_state: task_pb2.TaskState.ValueType
    """The state in which the server saw it before; unspecified for one that was added."""
    sequence: int = 0
    """Grows with each change of the same parent. Gaps mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Nothing has happened for a while."""

    staleness: float | None = None
    """Seconds since AWS was last asked successfully about everything that is watched."""
    next_poll: float | None = None
    """Seconds until AWS is asked again, if all goes well."""
    upstream_error: CallError | None = None
    """Why AWS could not be asked lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnecting:
    """The server was lost; it is called again after the delay, and the watch goes on."""

    error: CallError
    delay: float
    """Seconds."""
    failures: int
    """How many there have been since the server was last heard, this one included."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The watch goes on where it was: nothing was missed, and no snapshot comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnd:
    """The last event: the watch has ended by itself."""

    reason: task_watch_pb2.WatchEndReason.ValueType
    """WATCH_END_REASON_SETTLED or _GONE, or a number that a newer server knows."""
    counts: task_pb2.TaskCounts
    """The tasks as a whole, at the end."""
    parent_status: task_pb2.ParentStatus | None = None
    """The state of the watched parent itself, with the reason if it failed. For a watch of named
    tasks that of an ended parent whose tasks can never settle; None if there is none, and from an
    older server."""


WatchEvent: TypeAlias = Snapshot | TaskChange | Heartbeat | Reconnecting | Resumed | WatchEnd
