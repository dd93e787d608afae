"""The events of a watch, to match on, and the tasks that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client.errors import CallError

SETTLED_STATES = frozenset(
    {
        task_pb2.TASK_STATE_SUCCEEDED,
        task_pb2.TASK_STATE_FAILED,
        task_pb2.TASK_STATE_CANCELLED,
        task_pb2.TASK_STATE_SUSPENDED,
        task_pb2.TASK_STATE_BLOCKED,
    }
)
"""The states that change only if a caller acts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All watched tasks. It replaces everything that earlier events reported."""

    tasks: tuple[task_pb2.Task, ...]
    reason: task_watch_pb2.SnapshotReason.ValueType
    """Why it was sent: the watch is new, or the server could not resume it."""
    observe_time: datetime | None = None
    """When AWS returned the oldest response that is part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A task was added, updated or removed."""

    task: task_pb2.Task
    """The current task; the last known one if it was removed."""
    kind: task_watch_pb2.TaskChangeKind.ValueType
    """TASK_CHANGE_KIND_ADDED, _UPDATED or _REMOVED, or a number from a newer server."""
    previous_state: task_pb2.TaskState.ValueType
    """The state before; unspecified for an added task."""
    sequence: int = 0
    """Increases with each change of the same parent. Gaps have no meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """There was no other event for a while."""

    staleness: float | None = None
    """Seconds since AWS last returned the state of everything that is watched."""
    next_poll: float | None = None
    """Seconds until the next poll of AWS."""
    upstream_error: CallError | None = None
    """Why the latest poll of AWS failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnecting:
    """The call broke. The client calls again after the delay and resumes the watch."""

    error: CallError
    delay: float
    """Seconds."""
    failures: int
    """Number of failures since the latest message of the server, with this one."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The watch resumed without a snapshot; no change was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnd:
    """The last event: the watch is complete."""

    reason: task_watch_pb2.WatchEndReason.ValueType
    """WATCH_END_REASON_SETTLED or _GONE, or a number from a newer server."""
    counts: task_pb2.TaskCounts
    """The watched tasks by state."""
    parent_status: task_pb2.ParentStatus | None = None
    """The state of the watched parent itself, with the reason if it failed. For a watch of named
    tasks that of an ended parent whose tasks can never settle. Older servers send none."""


WatchEvent: TypeAlias = Snapshot | TaskChange | Heartbeat | Reconnecting | Resumed | WatchEnd


@dataclass(slots=True)
class WatchedTasks:
    """The current tasks of a watch, updated by its events.

    The cost of a change does not depend on the number of tasks.
    """

    tasks: dict[str, task_pb2.Task] = field(default_factory=dict)
    """By name."""
    by_state: dict[int, dict[str, task_pb2.Task]] = field(default_factory=dict)
    """By state, then by name. The dict of a state may be empty."""

    def apply(self, event: WatchEvent) -> None:
        """Update the tasks with an event."""
        if isinstance(event, Snapshot):
            self.tasks.clear()
            self.by_state.clear()
            for task in event.tasks:
                self._put(task)
        elif isinstance(event, TaskChange):
            self._remove(event.task.name)
            if event.kind != task_watch_pb2.TASK_CHANGE_KIND_REMOVED:
                self._put(event.task)

    @property
    def counts(self) -> Mapping[int, int]:
        """Number of tasks by state, in the order of TaskState, without zeros."""
        return {state: len(tasks) for state, tasks in sorted(self.by_state.items()) if tasks}

    @property
    def settled_count(self) -> int:
        """Number of settled tasks."""
        return sum(count for state, count in self.counts.items() if state in SETTLED_STATES)

    def _put(self, task: task_pb2.Task) -> None:
        self.tasks[task.name] = task
        self.by_state.setdefault(task.state, {})[task.name] = task

    def _remove(self, name: str) -> None:
        task = self.tasks.pop(name, None)
        if task is not None:
            del self.by_state[task.state][name]
