"""A queue of reads of one item each, which are sent as a few reads of many items.

Batching is natural: a read that can be sent at once is sent alone. While all slots have a batch in
flight, reads gather, and are sent together when one of those batches ends. At low load nothing
waits; under load a batch waits `linger` seconds for more reads, and longer while they keep coming.
Reads gather for one batch at a time, so that batches in flight at once are few and large.
If more reads wait than fit into a batch, requesters get equal parts of it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias

from taskgate_server.telemetry.logs import log_bug
from taskgate_server.upstream.in_flight import AbandonedError, InFlightCall, Requesters, TaskSet
from taskgate_server.upstream.options import Share
from taskgate_server.upstream.rate_limit.fair_queue import FairQueue

Item: TypeAlias = InFlightCall[Any, Any]

Send: TypeAlias = Callable[[Sequence[Item]], Awaitable[Sequence[Any]]]
"""Sends items in one batch. Returns the response of each, its error, or None if the item will be
added again, and has no response yet."""

Admit: TypeAlias = Callable[[int, Requesters], Awaitable[tuple[int, Send]]]
"""Waits until a batch may be sent, given the number of waiting items and their requesters. Returns
how many items the batch may have, and the function that sends it."""


MAX_LINGERS: Final = 8
"""How often a batch lingers while reads keep coming. With an upstream as fast as the server, 128
callers then get 1.6 times as many responses, from a tenth of the calls."""

UNHURRIED_SENDERS: Final = 2
"""So many batches at once are sent without lingering."""

_GIVE_UP_AT: Final = attrgetter("item.requesters.give_up_at")


class _Entry:
    """An item in the queue; listens to the item's requesters and is in the line of each."""

    __slots__ = ("_queue", "item")

    def __init__(self, queue: BatchQueue, item: Item) -> None:
        self._queue = queue
        self.item = item

    def enter(self) -> None:
        """Enter the lines of the present requesters, and listen for others."""
        requesters = self.item.requesters
        requesters.add_listener(self)
        self.extend(requesters.give_up_at)
        for share in requesters.shares:
            self.add(share)

    def leave(self) -> None:
        """Stop listening: the item has left the queue."""
        self.item.requesters.remove_listener(self)
        for share in self.item.requesters.shares:
            self._queue.requesters.remove(share)

    def add(self, share: Share) -> None:
        """See `in_flight.Listener`."""
        self._queue.entries.add(self, share)
        self._queue.requesters.add(share)

    def remove(self, share: Share) -> None:
        """See `in_flight.Listener`."""
        self._queue.entries.remove_from_line(self, share)
        self._queue.requesters.remove(share)
        if not self.item.requesters.shares:
            self.item.requesters.remove_listener(self)

    def extend(self, give_up_at: float) -> None:
        """See `in_flight.Listener`."""
        self._queue.requesters.extend(give_up_at)


class BatchQueue:
    """Gathers the reads of one operation and sends them in batches.

    Args:
        admit: waits until a batch may be sent, while more reads gather.
        tasks: those that send batches.
        max_items: maximum number of reads in a batch; a full one does not linger.
        slots: returns how many batches may be in flight now, at least 1.
        linger: seconds that a batch waits for more reads, up to `MAX_LINGERS` times, once all
            slots have been in use or `UNHURRIED_SENDERS` batches are in flight.
        sleep: waits; an argument for tests.
    """

    def __init__(
        self,
        admit: Admit,
        tasks: TaskSet,
        *,
        max_items: int,
        slots: Callable[[], int],
        linger: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.entries: FairQueue[_Entry] = FairQueue()
        """The reads that wait to be sent and have requesters."""
        self.requesters = Requesters()
        """Those of all queued reads."""
        self._admit = admit
        self._tasks = tasks
        self._max_items = max_items
        self._slots = slots
        self._linger = linger
        self._sleep = sleep
        self._gathering = asyncio.Lock()
        """Held by the sender that lingers: reads gather for one batch at a time."""
        self._senders = 0
        """Tasks that send batches."""

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, item: Item) -> None:
        """Queue a read that has requesters, and send it."""
        self.enter(item)
        self.start()

    def enter(self, item: Item) -> None:
        """Queue a read, which `start` sends. It is dropped when its last requester leaves."""
        _Entry(self, item).enter()

    def start(self) -> None:
        """Start to send queued reads, unless enough batches are in flight."""
        if len(self.entries) and self._senders < self._slots():
            self._senders += 1
            self._tasks.add(asyncio.ensure_future(self._run()))

    async def _run(self) -> None:
        """Send batches until no read waits, or enough other senders are running."""
        under_load = self._senders > UNHURRIED_SENDERS
        try:
            while len(self.entries):
                admitted = await self._next_batch(linger=under_load)
                if admitted is None:
                    continue
                batch, send = admitted
                try:
                    # Even an empty one: `send` returns its permit.
                    responses = await send(batch)
                except Exception as error:  # noqa: BLE001  # every error goes to the requesters
                    responses = [error] * len(batch)
                _settle_all(batch, responses)
                if self._senders > self._slots():
                    return
                under_load = True
        finally:
            # Not in a done callback, which runs one step later. Until then a second sender that
            # stops would rely on this one and `start` would not replace it, so the queue would be
            # left behind.
            self._senders -= 1

    async def _next_batch(self, *, linger: bool) -> tuple[list[Item], Send] | None:
        """Return the next batch that may be sent, and how; None if none of its reads may."""
        if linger and self._linger:
            async with self._gathering:
                if not len(self.entries):
                    return None  # another batch has them
                await self._gather()
        # Ignore the deadlines of reads that are no longer queued.
        self.requesters.give_up_at = max(map(_GIVE_UP_AT, self.entries), default=-math.inf)
        try:
            count, send = await self._admit(len(self.entries), self.requesters)
        except AbandonedError:
            return None
        except Exception as error:  # noqa: BLE001  # every error goes to the requesters
            for item in self._take(len(self.entries)):
                _settle(item, error)
            return None
        return self._take(count), send

    async def _gather(self) -> None:
        """Wait for more reads, again and again while they keep coming."""
        for _ in range(MAX_LINGERS):
            before = len(self.entries)
            if before >= self._max_items:
                return
            await self._sleep(self._linger)
            if len(self.entries) == before:
                return

    def _take(self, count: int) -> list[Item]:
        """Take reads from the queue, round robin over their requesters."""
        batch: list[Item] = []
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
        if response is not None:
            _settle(item, response)


def _settle(item: Item, outcome: Any) -> None:
    """Settle an item; a failure of one must not keep the others from their outcomes."""
    try:
        item.settle(outcome)
    except Exception as error:  # noqa: BLE001  # see above
        log_bug(error)
