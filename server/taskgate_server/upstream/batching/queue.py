"""A queue of reads of one item each, which are sent as a few reads of many items.

Batching is natural: a read that can be sent at once is sent alone. While all slots have a batch in
flight, reads gather, and are sent together when one of those batches ends. At low load nothing
waits; under load a batch waits up to `linger` seconds for more reads. If more reads wait than fit
into a batch, requesters get equal parts of it.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from taskgate_server.telemetry.logs import log_bug
from taskgate_server.upstream.rate_limit.fair_queue import FairQueue
from taskgate_server.upstream.requesters import AbandonedError, Requesters, Share


class Requeued(enum.Enum):
    """Takes the place of a response."""

    REQUEUED = enum.auto()
    """The item will be added again, and has no response yet."""


REQUEUED: Final = Requeued.REQUEUED


class Item(Protocol):
    """A read that waits to be sent, or for its response."""

    @property
    def requesters(self) -> Requesters:
        """The requesters that wait for it."""

    def settle(self, outcome: Any) -> None:
        """Deliver the response or the error."""


I = TypeVar("I", bound=Item)  # noqa: E741  # an item
P = TypeVar("P")

Send: TypeAlias = Callable[[Sequence[I], P], Awaitable[Sequence[Any]]]
"""Sends items in one batch. Returns the response of each, its error, or REQUEUED."""

Admit: TypeAlias = Callable[[int, Requesters], Awaitable[tuple[int, P]]]
"""Waits until a batch may be sent, given the number of waiting items and their requesters. Returns
how many items the batch may have, and the permit for `Send`."""


class _Entry(Generic[I]):
    """An item in the queue; listens to the item's requesters and is in the line of each."""

    __slots__ = ("_queue", "item")

    def __init__(self, queue: BatchQueue[I, Any], item: I) -> None:
        self._queue = queue
        self.item = item

    def enter(self) -> None:
        """Enter the lines of the present requesters, and listen for others."""
        requesters = self.item.requesters
        requesters.add_listener(self)
        self.extend(requesters.give_up_at)
        for share in requesters.shares:
            self._enter_line(share)

    def leave(self) -> None:
        """Stop listening: the item has left the queue."""
        self.item.requesters.remove_listener(self)
        for share in self.item.requesters.shares:
            self._queue.requesters.remove(share)

    def add(self, share: Share) -> None:
        """See `requesters.Listener`."""
        self._enter_line(share)

    def remove(self, share: Share) -> None:
        """See `requesters.Listener`."""
        self._queue.entries.remove_from_line(self, share)
        self._queue.requesters.remove(share)
        if not self.item.requesters.shares:
            self.item.requesters.remove_listener(self)

    def extend(self, give_up_at: float) -> None:
        """See `requesters.Listener`."""
        self._queue.requesters.extend(give_up_at)

    def _enter_line(self, share: Share) -> None:
        self._queue.entries.add(self, share)
        self._queue.requesters.add(share)


class BatchQueue(Generic[I, P]):
    """Gathers the reads of one operation and sends them in batches.

    Args:
        admit: waits until a batch may be sent, while more reads gather.
        send: sends one batch.
        max_items: maximum number of reads in a batch; a full one does not linger.
        slots: returns how many batches may be in flight now, at least 1.
        linger: seconds that a batch waits for more reads once all slots have been in use.
        sleep: waits; an argument for tests.
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
        self.entries: FairQueue[_Entry[I]] = FairQueue()
        """The reads that wait to be sent and have requesters."""
        self.requesters = Requesters()
        """Those of all queued reads."""
        self._admit = admit
        self._send = send
        self._max_items = max_items
        self._slots = slots
        self._linger = linger
        self._sleep = sleep
        self._senders: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self.entries)

    async def close(self) -> None:
        """Cancel all batches. Call it when no requester waits any more."""
        senders = list(self._senders)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    def add(self, item: I) -> None:
        """Queue a read that has requesters, and send it."""
        self.enter(item)
        self.start()

    def enter(self, item: I) -> None:
        """Queue a read, which `start` sends. It is dropped when its last requester leaves."""
        _Entry(self, item).enter()

    def start(self) -> None:
        """Start to send queued reads, unless enough batches are in flight."""
        if len(self.entries) and len(self._senders) < self._slots():
            sender = asyncio.ensure_future(self._run())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)  # if it is cancelled before it runs

    async def _run(self) -> None:
        """Send batches until no read waits, or enough other senders are running."""
        under_load = False
        try:
            while len(self.entries):
                admitted = await self._next_batch(linger=under_load)
                if admitted is None:
                    continue
                batch, permit = admitted
                try:
                    # Even an empty one: `send` returns its permit.
                    responses = await self._send(batch, permit)
                except Exception as error:  # noqa: BLE001  # every error goes to the requesters
                    responses = [error] * len(batch)
                _settle_all(batch, responses)
                if len(self._senders) > self._slots():
                    return
                under_load = True
        finally:
            # A done callback runs one step later. Until then a second sender that stops would rely
            # on this one and `start` would not replace it, so the queue would be left behind.
            sender = asyncio.current_task()
            if sender is not None:
                self._senders.discard(sender)

    async def _next_batch(self, *, linger: bool) -> tuple[list[I], P] | None:
        """Return the next batch that may be sent; None if none of its reads may."""
        if linger and self._linger and len(self.entries) < self._max_items:
            await self._sleep(self._linger)
        self._update_deadline()
        try:
            count, permit = await self._admit(len(self.entries), self.requesters)
        except AbandonedError:
            return None
        except Exception as error:  # noqa: BLE001  # every error goes to the requesters
            for item in self._take(len(self.entries)):
                _settle(item, error)
            return None
        return self._take(count), permit

    def _update_deadline(self) -> None:
        """Ignore the deadlines of reads that are no longer queued."""
        deadlines = (entry.item.requesters.give_up_at for entry in self.entries)
        self.requesters.give_up_at = max(deadlines, default=-math.inf)

    def _take(self, count: int) -> list[I]:
        """Take reads from the queue, round robin over their requesters."""
        batch: list[I] = []
        while len(batch) < count and self.entries.has_next:
            entry, share = self.entries.peek()
            self.entries.take(entry, share)
            entry.leave()
            batch.append(entry.item)
        return batch


def _settle_all(batch: Sequence[Item], responses: Sequence[Any]) -> None:
    if len(responses) != len(batch):
        fault = f"{len(responses)} results for {len(batch)} reads"
        responses = [RuntimeError(fault)] * len(batch)
    for item, response in zip(batch, responses, strict=True):
        if response is not REQUEUED:
            _settle(item, response)


def _settle(item: Item, outcome: Any) -> None:
    """Settle an item; a failure of one must not keep the others from their outcomes."""
    try:
        item.settle(outcome)
    except Exception as error:  # noqa: BLE001  # see above
        log_bug(error)
