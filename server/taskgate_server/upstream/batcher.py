"""Many reads of one thing each, sent as a few reads of many.

Batching is natural: when a call can leave at once, it does, alone. While all slots have a call in
flight, reads gather, and leave together when one of those comes back. There is no added wait at
low load; under load a batch waits up to `linger` seconds for more to come.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from taskgate_server.telemetry import log_bug


class Later(enum.Enum):
    """In the place of an answer."""

    LATER = enum.auto()
    """It is yet to come."""


LATER: Final = Later.LATER


class Item(Protocol):
    """One read that waits to be sent, or for its answer."""

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""

    def settle(self, outcome: Any) -> None:
        """Tells the answer, or the error, to whoever waits."""


I = TypeVar("I", bound=Item)  # noqa: E741  # an item
P = TypeVar("P")

Send: TypeAlias = Callable[[Sequence[I], P], Awaitable[Sequence[Any]]]
"""Asks for some items at once; answers in their order: each has an answer, its own error, or LATER
when it has been put again."""

Admit: TypeAlias = Callable[[Sequence[I]], Awaitable[tuple[int, P]]]
"""Waits until a call may be sent for those who wait. Gives how many may leave with it, and what
`send` needs to know."""


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
        admit: Admit[I, P],
        send: Send[I, P],
        max_items: int,
        slots: Callable[[], int],
        linger: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._admit = admit
        self._send = send
        self._max_items = max_items
        self._slots = slots
        self._linger = linger
        self._sleep = sleep
        self._waiting: deque[I] = deque()
        self._runners: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many reads wait to be sent."""
        return sum(not item.gone for item in self._waiting)

    async def close(self) -> None:
        """Sends nothing more; nobody waits for the answers."""
        runners = list(self._runners)
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    def put(self, item: I) -> None:
        """Has a read sent, and its item settled. One that is gone by then is left out."""
        self._waiting.append(item)
        if len(self._runners) < self._slots():
            runner = asyncio.ensure_future(self._run())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)

    async def _run(self) -> None:
        """Sends batches until nobody waits."""
        under_load = False
        while self._has_waiting():
            if under_load and self._linger and len(self._waiting) < self._max_items:
                await self._sleep(self._linger)
            try:
                count, permit = await self._admit(self._waiting)
            except Exception as error:  # noqa: BLE001  # whatever it was, the readers get it
                self._refuse(error)
                continue
            await self._fly(self._take(count), permit)
            if len(self._runners) > self._slots():
                return  # the others see to those who wait
            under_load = True

    def _has_waiting(self) -> bool:
        while self._waiting and self._waiting[0].gone:
            self._waiting.popleft()
        return bool(self._waiting)

    def _take(self, count: int) -> list[I]:
        batch: list[I] = []
        while self._waiting and len(batch) < count:
            item = self._waiting.popleft()
            if not item.gone:
                batch.append(item)
        return batch

    def _refuse(self, error: Exception) -> None:
        for item in self._take(len(self._waiting)):
            _settle(item, error)

    async def _fly(self, batch: Sequence[I], permit: P) -> None:
        """Also when all have gone meanwhile: `send` gives the permit back."""
        try:
            answers = await self._send(batch, permit)
        except Exception as error:  # noqa: BLE001  # whatever it was, the readers are told
            answers = [error] * len(batch)
        if len(answers) != len(batch):
            fault = f"{len(answers)} results for {len(batch)} reads"
            answers = [RuntimeError(fault)] * len(batch)
        for item, answer in zip(batch, answers, strict=True):
            if answer is not LATER:
                _settle(item, answer)


def _settle(item: Item, outcome: Any) -> None:
    """Settle an item; a failure of one must not keep the outcome from the others."""
    try:
        item.settle(outcome)
    except Exception as error:  # noqa: BLE001  # see above
        log_bug(error)
