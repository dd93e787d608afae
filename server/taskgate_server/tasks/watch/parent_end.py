"""The end of a parent, and when the states of its tasks are conclusive.

AWS reports a parent and its tasks in separate responses, which need not be of one moment. A watch
or a wait ends only with tasks that were read after the parent was known to have ended.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.poller import NEVER, PollerContext
from taskgate_server.tasks.watch.sources import OPTIONS

CHECK_SECONDS: Final = 10.0
"""Interval between checks of a parent while some of its tasks have not settled."""

TASK_LAG_SECONDS: Final = 3.0
"""How long the tasks of a parent that has ended for good may take to settle, too."""


class ParentEnd:
    """The latest known state of one parent. Times are those of the poller's clock, in seconds."""

    def __init__(self, parent: Parent, context: PollerContext) -> None:
        self.state: ParentState | None = None
        self.checked_at = NEVER
        self._ended_at = math.inf
        """When the parent was first seen ended, if it still is."""
        self._parent = parent
        self._context = context

    async def read(self) -> None:
        """Read the state, with a request that is sent from now on.

        Raises:
            TaskgateError: AWS refused the request or could not be reached.
        """
        self.state = await self._context.backend.parent_state(self._parent, OPTIONS)
        now = self.checked_at = self._context.clock()
        self._ended_at = min(self._ended_at, now) if self.state.ended else math.inf

    async def check(self) -> None:
        """Read the state within the budget. After a failure, the next check is soon."""
        self._context.budget.spend()
        self.checked_at = self._context.clock()
        with suppress(TaskgateError):
            await self.read()

    def is_due(self) -> bool:
        """Return whether it is time for a periodic check."""
        return self._context.clock() - self.checked_at >= CHECK_SECONDS

    def conclusive_from(self, *, all_settled: bool) -> float:
        """Return the time from which reads of tasks are conclusive; inf if there is none yet.

        Nothing changes any more in tasks whose request was sent at that time or later.
        """
        if self.state is None or not self.state.settles(all_settled=all_settled):
            return math.inf
        return self._ended_at if all_settled else self._ended_at + TASK_LAG_SECONDS
