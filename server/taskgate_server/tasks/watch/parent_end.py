"""The end of a parent, and when the states of its tasks are conclusive.

AWS reports a parent and its tasks in separate responses, which need not be of one moment. A watch
or a wait ends only with tasks that were read after the parent was known to have ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.sources import OPTIONS

CHECK_SECONDS: Final = 10.0
"""Interval between checks of a parent while some of its tasks have not settled."""

TASK_LAG_SECONDS: Final = 3.0
"""How long the tasks of a parent that has ended for good may take to settle, too."""


@dataclass(frozen=True, slots=True)
class Parents:
    """Reads the states of the parents of one AWS service, for pollers."""

    backend: TaskBackend

    async def read(self, name: str) -> ParentState:
        """Return the state of a parent, from a request that is sent from now on.

        Raises:
            TaskgateError: AWS refused the request or could not be reached.
        """
        parent = self.backend.names.parse_parent(name, "name")
        return await self.backend.parent_state(parent, OPTIONS)

    def root_of(self, task: str) -> str | None:
        """Return the name of the job or run of a task; None if it is in none."""
        return self.backend.names.parents_of(task).get(self.backend.root_kind)


@dataclass(slots=True)
class ParentEnd:
    """The latest known state of one parent. Times are those of the poller's clock, in seconds."""

    state: ParentState | None = None
    checked_at: float = -math.inf
    _ended_at: float = math.inf
    """When the parent was first seen ended, if it still is."""

    def update(self, state: ParentState, now: float) -> None:
        """Store what AWS has just reported."""
        self.state, self.checked_at = state, now
        self._ended_at = min(self._ended_at, now) if state.ended else math.inf

    def is_due(self, now: float) -> bool:
        """Return whether it is time for a periodic check."""
        return now - self.checked_at >= CHECK_SECONDS

    def next_read(self, *, all_settled: bool) -> float:
        """Return when tasks have to be read, at the earliest, to be conclusive; inf if never.

        Args:
            all_settled: whether all tasks have settled.
        """
        if self.state is None or not self.state.settles(all_settled=all_settled):
            return math.inf
        return self._ended_at if all_settled else self._ended_at + TASK_LAG_SECONDS

    def is_conclusive(self, read_at: float, *, all_settled: bool) -> bool:
        """Return whether nothing changes any more in tasks that were read at a time.

        Args:
            read_at: when the request for the tasks was sent.
            all_settled: whether all of them have settled.
        """
        return read_at >= self.next_read(all_settled=all_settled)
