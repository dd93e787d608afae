"""WaitTask: a watch of one task that ends with an answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from typing import Final

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server import errors
from taskgate_server.errors import OwnError, Reason
from taskgate_server.tasks.states import State
from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.subscription import Subscription
from taskgate_server.tasks.watch.views import Some

MAX_MARGIN_SECONDS: Final = 1.0
MIN_MARGIN_SECONDS: Final = 0.1
MARGIN: Final = 0.1
"""The part of the caller's time that is left for the answer to travel."""

RECENT_SECONDS: Final = 10.0
"""The age up to which a task that has not settled need not be read again when a wait begins."""


def end_of(seconds: float) -> float:
    """Seconds until a caller is to be answered that waits for so many."""
    margin = min(max(seconds * MARGIN, MIN_MARGIN_SECONDS), MAX_MARGIN_SECONDS)
    return seconds - min(margin, seconds / 2)


class Waiter(Subscription):
    """Waits for one task.

    Args:
        hub: of the pollers.
        view: the task.
        name: its name.
        states: to wait for; none for all settled ones. A settled state always ends it.
    """

    def __init__(self, hub: Hub, view: Some, name: str, states: Collection[State]) -> None:
        super().__init__(hub, [view], wants_settled=True)
        self._view = view
        self._name = name
        self._states = frozenset(states)

    async def aws_response(
        self, seconds: float, max_wait: float = math.inf
    ) -> task_watch_pb2.WaitTaskResponse:
        """Return the task when the wait is over.

        Args:
            seconds: the time until the caller needs a response.
            max_wait: seconds after which the response has the task as last seen. A task that was
                never seen is waited for longer.

        Raises:
            TaskgateError: NOT_FOUND, AWS has no such task, or no longer; or the error of AWS, if
                the task could not be read in all that time.
        """
        began = self.hub.clock()
        deadline, until = began + seconds, began + min(seconds, max_wait)
        with self.active():
            entry = await self._first(deadline, until)
            while True:
                if entry.removed:
                    raise errors.task_not_found(self._name)
                response = self._response(entry)
                left = until - self.hub.clock()
                if response.done or left <= 0 or self.hub.stopping:
                    return response
                await self.woken(left)
                entry = next(self._view.entries())

    async def _first(self, deadline: float, until: float) -> Entry:
        """Return the task as it is at the beginning."""
        began = self.hub.clock()
        known = next(self._view.entries(), None)
        if known is not None and self._may_go_on(known, began):
            return known
        try:
            async with asyncio.timeout((deadline if known is None else until) - began):
                await self.fresh(patient=True)
        except TimeoutError:
            entry = next(self._view.entries(), None)
            if entry is None:
                raise self._view.fault(began) or nothing_heard() from None
            return entry
        return next(self._view.entries())

    def _may_go_on(self, entry: Entry, now: float) -> bool:
        """Return whether polling is enough to find the end of the wait.

        A caller that waits for long calls again and again, and must not cost an AWS call each time.
        """
        is_recent = now - entry.sent_at <= RECENT_SECONDS
        return is_recent and not entry.removed and not self._response(entry).done

    def _response(self, entry: Entry) -> task_watch_pb2.WaitTaskResponse:
        parent = self._view.parent_state()
        done = entry.settled or entry.state in self._states or parent is not None
        return task_watch_pb2.WaitTaskResponse(
            task=task_pb2.Task.FromString(entry.task()),
            done=done,
            parent_status=parent.to_message() if parent is not None else None,
        )


def nothing_heard() -> OwnError:
    """Return the error of a wait that ended before AWS returned the task."""
    return OwnError(Reason.TIME_LIMIT_EXCEEDED, "AWS did not return the task in time")
