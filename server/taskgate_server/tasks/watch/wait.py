"""WaitTask: a subscription to one task that ends with one response."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server import errors
from taskgate_server.errors import OwnError, Reason
from taskgate_server.tasks.states import State
from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.named_poller import NamedTasks
from taskgate_server.tasks.watch.poller import NEVER
from taskgate_server.tasks.watch.subscription import Subscription

MAX_MARGIN_SECONDS: Final = 1.0
MIN_MARGIN_SECONDS: Final = 0.1
MARGIN: Final = 0.1
"""The share of the caller's time that is reserved for the transport of the response."""

RECENT_SECONDS: Final = 10.0
"""The age up to which a task that has not settled need not be read again when a wait begins."""


def seconds_to_respond(seconds: float) -> float:
    """Return after how many seconds to respond to a caller that waits for `seconds`."""
    margin = min(max(seconds * MARGIN, MIN_MARGIN_SECONDS), MAX_MARGIN_SECONDS)
    return seconds - min(margin, seconds / 2)


class Waiter(Subscription):
    """Waits until one task is in one of these states or has settled.

    Args:
        hub: has the pollers.
        view: of the task.
        name: of the task.
        states: to wait for.
        written_at: see `Subscription`.
    """

    def __init__(
        self,
        hub: Hub,
        view: NamedTasks,
        name: str,
        states: Collection[State],
        written_at: float = NEVER,
    ) -> None:
        super().__init__(hub, [view], wants_settled=True, written_at=written_at)
        self._view = view
        self._name = name
        self._states = frozenset(states)

    async def wait(
        self, seconds: float, max_wait: float = math.inf
    ) -> task_watch_pb2.WaitTaskResponse:
        """Return the task when the wait is over.

        Args:
            seconds: until the caller needs a response.
            max_wait: seconds after which to return the task as last seen, once it has been seen.

        Raises:
            TaskgateError: NOT_FOUND, the task does not exist or no longer exists; or the error of
                AWS, if the task could not be read at all.
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
        known = self._known()
        if known is not None and self._can_wait(known, began):
            return known
        with suppress(TimeoutError):
            async with asyncio.timeout((deadline if known is None else until) - began):
                async for _ in self.freshening(patient=True):
                    pass
        entry = self._known()
        if entry is None:
            raise self._view.fault(began) or OwnError(
                Reason.TIME_LIMIT_EXCEEDED,
                "AWS did not return the task before the deadline of the call",
            )
        return entry

    def _known(self) -> Entry | None:
        """Return the task, if it was read after the caller's latest write."""
        entry = next(self._view.entries(), None)
        return entry if entry is not None and entry.sent_at >= self.written_at else None

    def _can_wait(self, entry: Entry, now: float) -> bool:
        """Return whether the wait can begin without a new read of the task.

        A long wait consists of many calls, and not each of them should cost an AWS call.
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
