"""Many reads of one thing each, sent as a few reads of many.

Batching is natural: when a call can leave at once, it does, alone. While all slots have a call in
flight, reads gather, and leave together when one of those comes back. There is no added wait at
low load; under load a batch waits up to `linger` seconds for more to come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from taskgate_server.errors import TaskgateError

Q = TypeVar("Q")
A = TypeVar("A")
P = TypeVar("P")

Send: TypeAlias = Callable[[Sequence[Q], P], Awaitable[Sequence[A | TaskgateError]]]
"""Asks for some items at once; answers in their order, each with an answer or its own error."""

Admit: TypeAlias = Callable[[Sequence[Q]], Awaitable[tuple[int, P]]]
"""Waits until a call may be sent for those who wait. Gives how many may leave with it, and what
`send` needs to know."""


@dataclass(slots=True, eq=False)
class Item(Generic[Q, A]):
    """One read that waits to be sent, or for its answer."""

    question: Q
    answer: asyncio.Future[A] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Batcher(Generic[Q, A, P]):
    """Gathers the reads of one operation.

    Args:
        admit: waits until a call may be sent; while it does, more reads gather.
        send: sends one batch.
        max_items: the most reads in a batch, for which it does not linger.
        slots: the most batches in flight.
        linger: seconds that a batch waits for more once the slots have been full.
        sleep: waits; an argument so that tests need not.
    """

    def __init__(
        self,
        *,
        admit: Admit[Q, P],
        send: Send[Q, P, A],
        max_items: int,
        slots: int,
        linger: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._admit = admit
        self._send = send
        self._max_items = max_items
        self._slots = slots
        self._linger = linger
        self._sleep = sleep
        self._waiting: deque[Item[Q, A]] = deque()
        self._runners: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many reads wait to be sent."""
        return sum(not item.answer.done() for item in self._waiting)

    async def close(self) -> None:
        """Sends nothing more; nobody waits for the answers."""
        runners = list(self._runners)
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    async def ask(self, question: Q) -> A:
        """The answer to one read. A reader that goes before it was sent is left out of the batch.

        Raises:
            TaskgateError: the item's own, or what became of the whole batch.
        """
        item: Item[Q, A] = Item(question)
        self._waiting.append(item)
        if len(self._runners) < self._slots:
            runner = asyncio.ensure_future(self._run())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)
        return await item.answer

    async def _run(self) -> None:
        """Sends batches until nobody waits."""
        under_load = False
        while self._has_waiting():
            if under_load and self._linger and len(self._waiting) < self._max_items:
                await self._sleep(self._linger)
            waiting = [item.question for item in self._waiting if not item.answer.done()]
            try:
                count, permit = await self._admit(waiting)
            except TaskgateError as error:
                self._refuse(error)
                continue
            batch = self._take(count)
            await self._fly(batch, permit)
            under_load = True

    def _has_waiting(self) -> bool:
        while self._waiting and self._waiting[0].answer.done():
            self._waiting.popleft()
        return bool(self._waiting)

    def _take(self, count: int) -> list[Item[Q, A]]:
        batch: list[Item[Q, A]] = []
        while self._waiting and len(batch) < count:
            item = self._waiting.popleft()
            if not item.answer.done():
                batch.append(item)
        return batch

    def _refuse(self, error: TaskgateError) -> None:
        for item in self._take(len(self._waiting)):
            item.answer.set_exception(error)

    async def _fly(self, batch: Sequence[Item[Q, A]], permit: P) -> None:
        """Also when all have gone meanwhile: `send` gives the permit back."""
        try:
            answers = await self._send([item.question for item in batch], permit)
        except Exception as error:  # noqa: BLE001  # whatever it was, the readers are told
            answers = [error] * len(batch)  # type: ignore[list-item]  # told as it is
        for item, answer in zip(batch, answers, strict=True):
            if item.answer.done():
                continue
            if isinstance(answer, Exception):
                item.answer.set_exception(answer)
            else:
                item.answer.set_result(answer)
