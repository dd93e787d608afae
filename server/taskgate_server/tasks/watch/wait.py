"""WaitTask: a watch of one task that ends with an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from grpc import StatusCode

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server import errors
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.backend import State
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.ledger import Entry
from taskgate_server.tasks.watch.views import Some
from taskgate_server.tasks.watch.watcher import Attention

LONGEST_MARGIN_SECONDS: Final = 1.0
SHORTEST_MARGIN_SECONDS: Final = 0.1
MARGIN: Final = 0.1
"""The part of the caller's time that is left for the answer to travel."""


def end_of(seconds: float) -> float:
    """Seconds until a caller is to be answered that waits for so many."""
    margin = min(max(seconds * MARGIN, SHORTEST_MARGIN_SECONDS), LONGEST_MARGIN_SECONDS)
    return seconds - min(margin, seconds / 2)


class Waiter(Attention):
    """Waits for one task.

    Args:
        hub: of the pollers.
        view: the task.
        name: its name.
        states: to wait for; none for all settled ones. A settled state always ends it.
    """

    def __init__(self, hub: Hub, view: Some, name: str, states: Collection[State]) -> None:
        super().__init__(hub, [view])
        self._view = view
        self._name = name
        self._states = frozenset(states)

    async def answer(self, seconds: float) -> task_watch_pb2.WaitTaskResponse:
        """The task when the waiting ended.

        Args:
            seconds: that there are.

        Raises:
            TaskgateError: NOT_FOUND, there is no such task, or no longer; or AWS could not be
                asked all the time.
        """
        until = self.hub.clock() + seconds
        with self.paid():
            entry = await self._first(until)
            while True:
                if entry.removed:
                    raise errors.task_not_found(self._name)
                done = entry.settled or entry.state in self._states
                left = until - self.hub.clock()
                if done or left <= 0 or self.hub.stopping:
                    task = task_pb2.Task.FromString(entry.task())
                    return task_watch_pb2.WaitTaskResponse(task=task, done=done)
                await self.woken(left)
                entry = next(self._view.entries())

    async def _first(self, until: float) -> Entry:
        """What the task is at the beginning."""
        began = self.hub.clock()
        try:
            async with asyncio.timeout(until - began):
                await self.fresh(patient=True)
        except TimeoutError:
            entry = next(self._view.entries(), None)
            if entry is None:
                raise self._view.fault(began) or nothing_heard() from None
            return entry
        return next(self._view.entries())


def nothing_heard() -> TaskgateError:
    """The time was up before AWS had told anything of the task."""
    return TaskgateError(
        code=StatusCode.DEADLINE_EXCEEDED,
        message="AWS has not told of the task in time",
        reason="TIME_LIMIT_EXCEEDED",
    )
