"""The same question asked by many at once is sent once.

Who may share a call: its age counts from when it was sent, and one that is not yet sent is as fresh
as can be. A call whose last asker has gone before it was sent is not sent.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from taskgate_server.telemetry import spans
from taskgate_server.upstream.requesters import Requesters, Share

Q = TypeVar("Q")
T = TypeVar("T")


class InFlightCall(Generic[Q, T]):
    """A call that one or more requesters wait for.

    Args:
        key: what is asked.
        aws_request: the same for whoever sends it.
        clock: the gateway's.
        landed: told what came of it, before those who wait.
        abandoned: told when all have gone before it was sent.
    """

    __slots__ = (
        "_abandoned",
        "_clock",
        "_landed",
        "_waiters",
        "attempts",
        "aws_request",
        "key",
        "requesters",
        "sent_at",
        "task",
    )

    def __init__(
        self,
        key: Hashable,
        aws_request: Q,
        clock: Callable[[], float],
        landed: Callable[[InFlightCall[Q, T], T | Exception], None],
        abandoned: Callable[[InFlightCall[Q, T]], None],
    ) -> None:
        self.key = key
        self.aws_request = aws_request
        self.sent_at: float | None = None
        """When the call left, by the gateway's clock; None while it waits for its turn."""
        self.requesters = Requesters(self.leaving)
        """Those that wait."""
        self.task: asyncio.Task[None] | None = None
        """What sends the call, if nothing else does."""
        self._clock = clock
        self.attempts = 1
        """How often it has been tried, this time included."""
        self._landed = landed
        self._abandoned = abandoned
        self._waiters: set[asyncio.Future[T | Exception]] = set()

    def leaving(self) -> None:
        """The call goes to AWS now."""
        self.sent_at = self._clock()

    def settle(self, outcome: T | Exception) -> None:
        """The call has ended, with an answer or an error."""
        try:
            self._landed(self, outcome)
        finally:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(outcome)

    async def wait(self, share: Share, give_up_at: float) -> T | Exception:
        """Return the outcome of the call: a response or an error, the same for all that share it.

        Args:
            share: whose turn the call may use on behalf of this requester.
            give_up_at: when this requester stops waiting, by the gateway's clock; inf for no limit.

        Raises:
            TimeoutError: it took longer.
        """
        loop = asyncio.get_running_loop()
        seconds = give_up_at - self._clock()
        # A future for each: cancelling one requester must not cancel the call of the others.
        waiter: asyncio.Future[T | Exception] = loop.create_future()
        timer = None if seconds == math.inf else loop.call_later(seconds, _expire, waiter)
        self._waiters.add(waiter)
        self.requesters.join(share, give_up_at, spans.current())
        try:
            return await waiter
        finally:
            if timer is not None:
                timer.cancel()
            self._waiters.discard(waiter)
            self.requesters.remove(share)
            if not self._waiters and self.sent_at is None:
                self._abandoned(self)
                if self.task is not None:
                    self.task.cancel()


def _expire(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


class InFlightCalls(Generic[Q, T]):
    """The calls in the air, the newest of each key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, InFlightCall[Q, T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.joined = 0
        """Calls that were joined instead of made anew, for metrics."""

    def __len__(self) -> int:
        return len(self._by_key)

    async def close(self) -> None:
        """Ends all calls in the air; nobody waits for them any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, key: Hashable, not_before: float) -> InFlightCall[Q, T] | None:
        """A call in the air that is sent at `not_before` or later, or has not left yet."""
        in_flight_call = self._by_key.get(key)
        if in_flight_call is None or (
            in_flight_call.sent_at is not None and in_flight_call.sent_at < not_before
        ):
            return None
        return in_flight_call

    def join(self, key: Hashable, not_before: float) -> InFlightCall[Q, T] | None:
        """Like `find`, by somebody who then waits for it."""
        in_flight_call = self.find(key, not_before)
        if in_flight_call is not None:
            self.joined += 1
        return in_flight_call

    def start(self, in_flight_call: InFlightCall[Q, T]) -> None:
        """The call is about to be sent: others may join from now on."""
        self._by_key[in_flight_call.key] = in_flight_call

    def run(self, in_flight_call: InFlightCall[Q, T], sending: asyncio.Task[None]) -> None:
        """The flight's call is sent by a task of its own."""
        in_flight_call.task = sending
        self._tasks.add(sending)
        sending.add_done_callback(self._tasks.discard)

    def finish(self, in_flight_call: InFlightCall[Q, T]) -> None:
        """The call has ended, or will not be sent: nobody can join it any more."""
        if self._by_key.get(in_flight_call.key) is in_flight_call:
            del self._by_key[in_flight_call.key]
