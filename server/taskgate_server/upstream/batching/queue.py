"""Many reads of one thing each, sent as a few reads of many.

Batching is natural: when a call can leave at once, it does, alone. While all slots have a call in
flight, reads gather, and leave together when one of those comes back. There is no added wait at
low load; under load a batch waits up to `linger` seconds for more to come. Where more reads wait
than fit into a batch, requesters have equal parts of it.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from taskgate_server.telemetry import log_bug
from taskgate_server.upstream.rate_limit.fair_queue import FairQueue
from taskgate_server.upstream.requesters import AbandonedError, Requesters, Share


class Later(enum.Enum):
    """In the place of an answer."""

    LATER = enum.auto()
    """It is yet to come."""


LATER: Final = Later.LATER


class Item(Protocol):
    """One read that waits to be sent, or for its response."""

    @property
    def requesters(self) -> Requesters:
        """The requesters that wait for it."""

    def settle(self, outcome: Any) -> None:
        """Hand the response, or the error, to those that wait."""


I = TypeVar("I", bound=Item)  # noqa: E741  # an item
P = TypeVar("P")

Send: TypeAlias = Callable[[Sequence[I], P], Awaitable[Sequence[Any]]]
"""Sends some items at once. Returns, in their order, the response of each, its own error, or LATER
when it has been put again."""

Admit: TypeAlias = Callable[[int, Requesters], Awaitable[tuple[int, P]]]
"""Waits until a call may be sent, given how many items wait and for whom. Returns how many may
leave with it, and what `send` needs to know."""


class _Queued(Generic[I]):
    """A queued item, as a listener to its requesters: it is in the line of each."""

    __slots__ = ("_batcher", "item")

    def __init__(self, batcher: Batcher[I, Any], item: I) -> None:
        self._batcher = batcher
        self.item = item

    def enter(self) -> None:
        """Put the item into the lines of the requesters that it has, and listen for others."""
        requesters = self.item.requesters
        requesters.listen(self)
        self.extend(requesters.give_up_at)
        for share in requesters.shares:
            self._enter_line(share)

    def add(self, share: Share) -> None:
        """See `requesters.Listener`."""
        self._enter_line(share)
        if len(self.item.requesters.shares) == 1:
            self._batcher.start()

    def remove(self, share: Share) -> None:
        """See `requesters.Listener`."""
        self._batcher.queue.leave(self, share)
        self._batcher.requesters.remove(share)
        if not self.item.requesters.shares:
            self.item.requesters.unlisten(self)

    def _enter_line(self, share: Share) -> None:
        self._batcher.queue.add(self, share)
        self._batcher.requesters.add(share)

    def extend(self, give_up_at: float) -> None:
        """See `requesters.Listener`."""
        self._batcher.requesters.extend(give_up_at)

    def leave(self) -> None:
        """Listen no longer: the item has left the queue."""
        self.item.requesters.unlisten(self)
        for share in self.item.requesters.shares:
            self._batcher.requesters.remove(share)


class Batcher(Generic[I, P]):
    """Gathers the reads of one operation.

    Args:
        admit: waits until a call may be sent; while it does, more reads gather.
        send: sends one batch.
        max_items: the most reads in a batch, for which it does not linger.
        slots: tells the most batches that may now be in flight, 1 or more.
        linger: seconds that a batch waits for more once the slots have been full.
        sleep: waits; an argument so that tests need not.
    """

    def __init__(
        self,
        *,
        admit: Admit[P],
        send: Send[I, P],
        max_items: int,
        slots: Callable[[], int],
        linger: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.queue: FairQueue[_Queued[I]] = FairQueue()
        """The reads that wait to be sent and have requesters."""
        self.requesters = Requesters()
        """Those of all queued reads."""
        self._admit = admit
        self._send = send
        self._max_items = max_items
        self._slots = slots
        self._linger = linger
        self._sleep = sleep
        self._runners: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many reads wait to be sent."""
        return len(self.queue)

    async def close(self) -> None:
        """Sends nothing more; nobody waits for the answers."""
        runners = list(self._runners)
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    def put(self, item: I) -> None:
        """Have a read sent and its item settled, if it has requesters now or in this very step.

        It is dropped when the last of them leaves.
        """
        _Queued(self, item).enter()
        if item.requesters.shares:
            self.start()

    def start(self) -> None:
        """Start to send what is queued, if not enough batches are under way."""
        if len(self.queue) and len(self._runners) < self._slots():
            runner = asyncio.ensure_future(self._run())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)  # if it is cancelled before it runs

    async def _run(self) -> None:
        """Send batches, and stop counting as a sender in the same step as the last look."""
        try:
            await self._send_all()
        finally:
            # A callback would come a step later. Until then, a second sender that stops would
            # count on this one, and `start` would not replace it: the queue would be left behind.
            runner = asyncio.current_task()
            if runner is not None:
                self._runners.discard(runner)

    async def _send_all(self) -> None:
        """Send batches until no read waits, or enough others send them."""
        under_load = False
        while len(self.queue):
            if under_load and self._linger and len(self.queue) < self._max_items:
                await self._sleep(self._linger)
            self._forget_deadlines()
            try:
                count, permit = await self._admit(len(self.queue), self.requesters)
            except AbandonedError:
                continue
            except Exception as error:  # noqa: BLE001  # whatever it was, the readers get it
                self._refuse(error)
                continue
            await self._fly(self._take(count), permit)
            if len(self._runners) > self._slots():
                return  # the others see to those who wait
            under_load = True

    def _forget_deadlines(self) -> None:
        """Forget the deadlines of reads that are queued no longer."""
        deadlines = (queued.item.requesters.give_up_at for queued in self.queue)
        self.requesters.give_up_at = max(deadlines, default=-math.inf)

    def _take(self, count: int) -> list[I]:
        """Take reads out, round robin over their requesters."""
        batch: list[I] = []
        while len(batch) < count and self.queue.has_turn:
            queued, share = self.queue.peek()
            self.queue.take(queued, share)
            queued.leave()
            batch.append(queued.item)
        return batch

    def _refuse(self, error: Exception) -> None:
        for item in self._take(len(self.queue)):
            _settle(item, error)

    async def _fly(self, batch: Sequence[I], permit: P) -> None:
        """Also when all have gone meanwhile: `send` gives the permit back."""
        try:
            responses = await self._send(batch, permit)
        except Exception as error:  # noqa: BLE001  # whatever it was, the readers are told
            responses = [error] * len(batch)
        if len(responses) != len(batch):
            fault = f"{len(responses)} results for {len(batch)} reads"
            responses = [RuntimeError(fault)] * len(batch)
        for item, response in zip(batch, responses, strict=True):
            if response is not LATER:
                _settle(item, response)


def _settle(item: Item, outcome: Any) -> None:
    """Settle an item; a failure of one must not keep the outcome from the others."""
    try:
        item.settle(outcome)
    except Exception as error:  # noqa: BLE001  # see above
        log_bug(error)
