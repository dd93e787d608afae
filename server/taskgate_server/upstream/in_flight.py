"""In-flight calls, each shared by all requesters of the same request.

The age of a call counts from when it was sent; a call that is not sent yet is fresh enough for
everyone. A call whose last requester leaves before it was sent is not sent.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from taskgate_server.telemetry import spans
from taskgate_server.upstream.requesters import Requesters, Share

Q = TypeVar("Q")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Waiter(Generic[T]):
    """One requester of an in-flight call."""

    share: Share
    outcome: asyncio.Future[T | Exception]
    timer: asyncio.TimerHandle | None
    """Ends the wait; None if the requester waits for any time."""


class InFlightCall(Generic[Q, T]):
    """A call that one or more requesters wait for.

    Args:
        key: equal for equal requests.
        aws_request: what is sent.
        clock: the gateway's.
        on_settled: called with the outcome, before the requesters get it.
        on_abandoned: called when all requesters have left before the call was sent.
    """

    __slots__ = (
        "_clock",
        "_on_abandoned",
        "_on_settled",
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
        on_settled: Callable[[InFlightCall[Q, T], T | Exception], None],
        on_abandoned: Callable[[InFlightCall[Q, T]], None],
    ) -> None:
        self.key = key
        self.aws_request = aws_request
        self.sent_at: float | None = None
        """When the call was sent, by the gateway's clock; None while it waits."""
        self.requesters = Requesters(self.mark_sent)
        self.task: asyncio.Task[None] | None = None
        """Sends the call, unless a batch does."""
        self.attempts = 1
        """Attempts in batches, including the present one."""
        self._clock = clock
        self._on_settled = on_settled
        self._on_abandoned = on_abandoned
        self._waiters: set[asyncio.Future[T | Exception]] = set()

    def mark_sent(self) -> None:
        """Note that the call is sent now."""
        self.sent_at = self._clock()

    def settle(self, outcome: T | Exception) -> None:
        """End the call with a response or an error."""
        try:
            self._on_settled(self, outcome)
        finally:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(outcome)

    def join(self, share: Share, give_up_at: float) -> Waiter[T]:
        """Add a requester, which calls `wait` next.

        Args:
            share: the share of the quota that the call may use for this requester.
            give_up_at: when this requester stops waiting, by the gateway's clock; inf for never.
        """
        loop = asyncio.get_running_loop()
        seconds = give_up_at - self._clock()
        # A future for each requester: cancelling one must not cancel the call of the others.
        outcome: asyncio.Future[T | Exception] = loop.create_future()
        timer = None if seconds == math.inf else loop.call_later(seconds, _expire, outcome)
        self._waiters.add(outcome)
        self.requesters.join(share, give_up_at, spans.current())
        return Waiter(share, outcome, timer)

    async def wait(self, waiter: Waiter[T]) -> T | Exception:
        """Return the outcome of the call, the same response or error for all requesters.

        Raises:
            TimeoutError: it took longer than the requester waits.
        """
        try:
            return await waiter.outcome
        finally:
            if waiter.timer is not None:
                waiter.timer.cancel()
            self._waiters.discard(waiter.outcome)
            self.requesters.remove(waiter.share)
            if not self._waiters and self.sent_at is None:
                self._on_abandoned(self)
                if self.task is not None:
                    self.task.cancel()


def _expire(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


class InFlightCalls(Generic[Q, T]):
    """The latest in-flight call of each key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, InFlightCall[Q, T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.joined = 0
        """Requests that joined a call instead of sending one, for metrics."""

    def __len__(self) -> int:
        return len(self._by_key)

    async def close(self) -> None:
        """Cancel all calls. Call it when no requester waits any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def find(self, key: Hashable, not_before: float) -> InFlightCall[Q, T] | None:
        """Return a call that was sent at `not_before` or later, or is not sent yet."""
        call = self._by_key.get(key)
        if call is None or (call.sent_at is not None and call.sent_at < not_before):
            return None
        return call

    def start(self, call: InFlightCall[Q, T]) -> None:
        """Make a call available to later requests."""
        self._by_key[call.key] = call

    def run(self, call: InFlightCall[Q, T], sending: Coroutine[Any, Any, None]) -> None:
        """Send a call in a task of its own."""
        call.task = asyncio.ensure_future(sending)
        self._tasks.add(call.task)
        call.task.add_done_callback(self._tasks.discard)

    def finish(self, call: InFlightCall[Q, T]) -> None:
        """Let no further request join a call that has ended or will not be sent."""
        if self._by_key.get(call.key) is call:
            del self._by_key[call.key]
