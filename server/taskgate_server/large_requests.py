"""Work on large requests, in a thread beside the event loop.

Counting, parsing and validating a request of 4 MiB takes up to 0.25 s of CPU. On the event loop all
other calls would wait for it. In a thread they share the interpreter with it instead, and wait for
the switch interval at most. One such request of each requester is worked on at a time, so that a
requester with many has no more than its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol, TypeVar
from weakref import WeakValueDictionary

LARGE_BYTES: Final = 64 * 1024
"""The size from which on a request is large. Work on a smaller one takes a few milliseconds."""

T = TypeVar("T")


class RunWork(Protocol):
    """Runs a function in the thread, and returns what it returns."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Run it."""


class LargeRequests:
    """Runs the work on large requests; for one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-requests")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, requester: str, size: int) -> RunWork | None:
        """Return how to work on a request.

        Args:
            requester: whose turn it is.
            size: of the request in bytes.

        Returns:
            A function that runs work in the thread; None if the request is small.
        """
        return None if size < LARGE_BYTES else partial(self._run, requester)

    async def _run(self, requester: str, work: Callable[[], T]) -> T:
        turn = self._turns.get(requester)
        if turn is None:
            turn = self._turns[requester] = asyncio.Lock()
        async with turn:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let the thread end when it has done what it is doing."""
        self._thread.shutdown(wait=False, cancel_futures=True)
