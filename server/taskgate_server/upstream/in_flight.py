"""In-flight calls, each shared by all requesters of the same request.

The age of a call counts from when it was sent; a call that is not sent yet is fresh enough for
everyone. Requesters join and leave while a call waits to be sent. The queues that it waits in
listen to them, so that its position depends on its present requesters. A call whose last requester
leaves is not sent, or cancelled.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from taskgate_server.telemetry import spans
from taskgate_server.upstream.options import Share

if TYPE_CHECKING:  # imported only where traces are made
    from opentelemetry.trace import Span

Q = TypeVar("Q")
T = TypeVar("T")


class AbandonedError(Exception):
    """No requester waits for the call any more, so it is not sent."""


class Listener(Protocol):
    """Is notified when the requesters of a call change."""

    def add(self, share: Share) -> None:
        """Handle the first requester of a share."""

    def remove(self, share: Share) -> None:
        """Handle that the last requester of a share has left."""

    def extend(self, give_up_at: float) -> None:
        """Handle a requester that waits longer than all others."""


class Requesters:
    """The requesters of one call, or of all calls of a batch.

    Args:
        on_sent: called for each attempt, when the call is sent.
    """

    __slots__ = ("_counts", "_listeners", "_members", "_spans", "changes", "give_up_at", "on_sent")

    def __init__(self, on_sent: Callable[[], None] = lambda: None) -> None:
        self.on_sent = on_sent
        self.give_up_at = -math.inf
        """When the last requester stops waiting, by the gateway's clock. It only grows."""
        self.changes = 0
        """Counts changes that may make a refusal of the call obsolete."""
        self._counts: dict[Share, int] = {}
        self._listeners: tuple[Listener, ...] = ()
        self._members: tuple[Requesters, ...] = ()
        self._spans: tuple[Span, ...] = ()

    @classmethod
    def single(cls, share: Share, give_up_at: float, spans: Sequence[Span] = ()) -> Requesters:
        """Return the only requester of a call that is not shared."""
        requesters = cls()
        requesters.join(share, give_up_at, spans)
        return requesters

    @classmethod
    def merge(cls, members: Sequence[Requesters], on_sent: Callable[[], None]) -> Requesters:
        """Return the requesters of all members, now and later. Close it in the end."""
        requesters = cls(on_sent)
        requesters._members = tuple(members)
        for member in members:
            member.add_listener(requesters)
            requesters.extend(member.give_up_at)
            for share in member.shares:
                requesters.add(share)
        return requesters

    def close(self) -> None:
        """Stop listening to the members."""
        for member in self._members:
            member.remove_listener(self)

    @property
    def shares(self) -> Collection[Share]:
        """The shares of the requesters; empty if there are none."""
        return self._counts.keys()

    @property
    def spans(self) -> Sequence[Span]:
        """The spans of the requesters' RPCs, if traced."""
        if not self._members:
            return self._spans
        return [span for member in self._members for span in member.spans]

    def join(self, share: Share, give_up_at: float, spans: Sequence[Span] = ()) -> None:
        """Add a requester, which leaves by `remove`.

        Args:
            share: the share of the quota that the call may use from now on.
            give_up_at: when the requester stops waiting, by the gateway's clock.
            spans: of its RPC.
        """
        if give_up_at > self.give_up_at:
            self.extend(give_up_at)
        if spans:
            self._spans += tuple(spans)
        self.add(share)

    def add(self, share: Share) -> None:
        """Count one more requester of a share."""
        count = self._counts.get(share, 0)
        self._counts[share] = count + 1
        if not count:
            self.changes += 1
            for listener in self._listeners:
                listener.add(share)

    def remove(self, share: Share) -> None:
        """Count one requester of a share less."""
        count = self._counts[share] - 1
        if count:
            self._counts[share] = count
            return
        del self._counts[share]
        for listener in self._listeners:
            listener.remove(share)

    def extend(self, give_up_at: float) -> None:
        """Note that a requester waits until then."""
        if give_up_at > self.give_up_at:
            self.give_up_at = give_up_at
            self.changes += 1
            for listener in self._listeners:
                listener.extend(give_up_at)

    def add_listener(self, listener: Listener) -> None:
        """Notify a listener of all later changes."""
        self._listeners += (listener,)

    def remove_listener(self, listener: Listener) -> None:
        """Stop notifying a listener."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)


class InFlightCall(Generic[Q, T]):
    """A call that one or more requesters wait for.

    Args:
        key: equal for equal requests.
        aws_request: what is sent.
        clock: the gateway's.
        on_ended: called with the outcome, before the requesters get it; or with None when all
            requesters have left before.
    """

    def __init__(
        self,
        key: Hashable,
        aws_request: Q,
        clock: Callable[[], float],
        on_ended: Callable[[InFlightCall[Q, T], T | Exception | None], None],
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
        self._on_ended = on_ended
        self._waiters: set[asyncio.Future[T | Exception]] = set()
        self._is_settled = False

    def mark_sent(self) -> None:
        """Note that the call is sent now."""
        self.sent_at = self._clock()

    def settle(self, outcome: T | Exception) -> None:
        """End the call with a response or an error."""
        self._is_settled = True
        try:
            self._on_ended(self, outcome)
        finally:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(outcome)

    def join(self, share: Share, give_up_at: float) -> None:
        """Add a requester, which calls `wait` next; see `Requesters.join`."""
        self.requesters.join(share, give_up_at, spans.current())

    async def wait(self, share: Share, seconds: float) -> T | Exception:
        """Return the outcome of the call, the same response or error for all requesters.

        Raises:
            TimeoutError: it took longer than `seconds`, which may be inf.
        """
        loop = asyncio.get_running_loop()
        # A future for each requester: cancelling one must not cancel the call of the others.
        waiter: asyncio.Future[T | Exception] = loop.create_future()
        # `asyncio.timeout` takes 5 us more for each call.
        timer = None if seconds == math.inf else loop.call_later(seconds, _expire, waiter)
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            if timer is not None:
                timer.cancel()
            self._waiters.discard(waiter)
            self.requesters.remove(share)  # which cancels a call that is sent and has no other
            if not self._waiters and not self._is_settled:
                self._on_ended(self, None)
                if self.sent_at is None and self.task is not None:
                    self.task.cancel()


def _expire(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


class InFlightCalls(Generic[Q, T]):
    """The latest in-flight call of each key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, InFlightCall[Q, T]] = {}
        self.joined = 0
        """Requests that joined a call instead of sending one, for metrics."""

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: Hashable, not_before: float) -> InFlightCall[Q, T] | None:
        """Return a call that was sent at `not_before` or later, or is not sent yet."""
        call = self._by_key.get(key)
        if call is None or (call.sent_at is not None and call.sent_at < not_before):
            return None
        return call

    def start(self, call: InFlightCall[Q, T]) -> None:
        """Make a call available to later requests."""
        self._by_key[call.key] = call

    def finish(self, call: InFlightCall[Q, T]) -> None:
        """Let no further request join a call that has ended or will not be sent."""
        if self._by_key.get(call.key) is call:
            del self._by_key[call.key]


class TaskSet:
    """Tasks that send calls, until they end or are cancelled by `close`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, task: asyncio.Task[None]) -> None:
        """Hold a task until it ends."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel all tasks. Call it when no requester waits any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
