"""The tasks of a watch as they now are, kept from its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client.events import Snapshot, TaskChange, WatchEvent

SETTLED = frozenset(
    {
        task_pb2.TASK_STATE_SUCCEEDED,
        task_pb2.TASK_STATE_FAILED,
        task_pb2.TASK_STATE_CANCELLED,
        task_pb2.TASK_STATE_SUSPENDED,
        task_pb2.TASK_STATE_BLOCKED,
    }
)
"""The states in which nothing happens until somebody acts."""


@dataclass(slots=True)
class WatchedTasks:
    """What is watched. One event costs the same however many tasks there are, but a snapshot."""

    tasks: dict[str, task_pb2.Task] = field(default_factory=dict)
    """By name."""
    by_state: dict[int, dict[str, task_pb2.Task]] = field(default_factory=dict)
    """The same by state, then by name. A state's dict may be empty."""

    def apply(self, event: WatchEvent) -> None:
        """Keeps what the event says."""
        if isinstance(event, Snapshot):
            self.tasks.clear()
            self.by_state.clear()
            for task in event.tasks:
                self._put(task)
        elif isinstance(event, TaskChange):
            self._drop(event.task.name)
            if event.kind != task_watch_pb2.TASK_CHANGE_KIND_REMOVED:
                self._put(event.task)

    @property
    def counts(self) -> Mapping[int, int]:
        """How many are in each state, without the states that none is in, in TaskState's order."""
        return {state: len(tasks) for state, tasks in sorted(self.by_state.items()) if tasks}

    @property
    def settled_count(self) -> int:
        """How many have settled."""
        return sum(count for state, count in self.counts.items() if state in SETTLED)

    def _put(self, task: task_pb2.Task) -> None:
        self.tasks[task.name] = task
        self.by_state.setdefault(task.state, {})[task.name] = task

    def _drop(self, name: str) -> None:
        task = self.tasks.pop(name, None)
        if task is not None:
            del self.by_state[task.state][name]
