"""The same question asked by many at once is sent once.

Who may share a call: its age counts from when it was sent, and one that is not yet sent is as fresh
as can be. A call whose last asker has gone before it was sent is not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from taskgate_server.upstream.ratelimit import Priority

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Flight(Generic[T]):
    """A call that somebody waits for."""

    key: Hashable
    sent_at: float | None = None
    """When the call left, by the gateway's clock; None while it waits for its turn."""
    give_up_at: float = float("-inf")
    """When the last of those who wait gives up, by the gateway's clock."""
    priority: Priority = Priority.POLLER
    """Of the most urgent of those who have joined."""
    waiting: int = 0
    """How many wait for the answer."""
    task: asyncio.Task[T] | None = None


class Flights(Generic[T]):
    """The calls in the air, the newest of each key."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, Flight[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()

    def __len__(self) -> int:
        return len(self._by_key)

    async def close(self) -> None:
        """Ends all calls in the air; nobody waits for them any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def join(
        self,
        key: Hashable,
        not_before: float,
        fly: Callable[[Flight[T]], Awaitable[T]],
        give_up_at: float = float("inf"),
        priority: Priority = Priority.INTERACTIVE,
    ) -> T:
        """The answer of a call that is sent at `not_before` or later: one in the air, or a new one.

        Args:
            key: what is asked.
            not_before: calls sent earlier are too old.
            fly: makes the call; sets the flight's `sent_at` when it leaves. Used when there is no
                call to share.
            give_up_at: when this asker stops waiting.
            priority: how urgent it is.

        Raises:
            Exception: whatever the call raised, for all who share it.
        """
        flight = self._by_key.get(key)
        if flight is None or (flight.sent_at is not None and flight.sent_at < not_before):
            flight = self._launch(key, fly)
        flight.give_up_at = max(flight.give_up_at, give_up_at)
        flight.priority = min(flight.priority, priority)
        return await self._wait(flight)

    def _launch(self, key: Hashable, fly: Callable[[Flight[T]], Awaitable[T]]) -> Flight[T]:
        flight: Flight[T] = Flight(key)
        self._by_key[key] = flight

        async def run() -> T:
            try:
                return await fly(flight)
            finally:
                if self._by_key.get(key) is flight:
                    del self._by_key[key]

        flight.task = asyncio.ensure_future(run())
        self._tasks.add(flight.task)
        flight.task.add_done_callback(self._tasks.discard)
        return flight

    async def _wait(self, flight: Flight[T]) -> T:
        task = flight.task
        assert task is not None  # noqa: S101  # launched before anybody waits
        flight.waiting += 1
        try:
            # A future for each waiter: cancelling one must not cancel the call of the others.
            return await asyncio.shield(task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not task.done():
                self._abandon(flight, task)

    def _abandon(self, flight: Flight[T], task: asyncio.Task[T]) -> None:
        """Nobody waits any more: what was sent goes on, for the cache; the rest is not sent."""
        if flight.sent_at is None:
            task.cancel()
            if self._by_key.get(flight.key) is flight:
                del self._by_key[flight.key]
        else:
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
