"""Processes large requests in a thread beside the event loop.

Counting, parsing and validating a request of 4 MiB takes up to 0.25 s of CPU. On the event loop all
other calls would wait for it. With a thread they share the interpreter instead. While the thread
works, the event loop waits for the interpreter up to the switch interval each time it has been
idle, which is several times in a call; Python's default of 5 ms would add some 70 ms to a call,
so the interval is shorter meanwhile. One such request of each requester is processed at a time, so
that a requester with many does not delay those of others.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol, TypeVar
from weakref import WeakValueDictionary

LARGE_BYTES: Final = 64 * 1024
"""The size of the smallest large request. A smaller one takes a few milliseconds."""

SWITCH_SECONDS: Final = 0.0005
"""The switch interval while the thread works."""

T = TypeVar("T")


class RunWork(Protocol):
    """Runs a function in the thread."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return the result of the function."""


class LargeRequests:
    """Processes the large requests of one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-requests")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, requester: str, size: int) -> RunWork | None:
        """Return the function that runs the work on a request in the thread; None for a small one.

        Args:
            requester: whose request it is.
            size: of the request in bytes.
        """
        return None if size < LARGE_BYTES else partial(self._run, requester)

    async def _run(self, requester: str, work: Callable[[], T]) -> T:
        turn = self._turns.get(requester)
        if turn is None:
            turn = self._turns[requester] = asyncio.Lock()
        async with turn:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _sharing_interpreter, work)

    def close(self) -> None:
        """End the thread after its current work."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _sharing_interpreter(work: Callable[[], T]) -> T:
    """Return the result of a function, and let other threads have the interpreter often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        return work()
    finally:
        sys.setswitchinterval(before)
