"""How many calls to one AWS service are in flight at once, not counting those that hang.

A thread that waits for a response cannot be interrupted, so a call that nobody waits for any more
keeps its thread until its read timeout. It gives its slot back at once, and any call does after
`STUCK_SECONDS`: when AWS responds again, new calls find threads although the old ones still hang.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

STUCK_SECONDS: Final = 3.0
EXTRA_THREADS: Final = 64
"""For calls that have given their slots back: the circuit breaker lets a few into an outage each
second, and each may hang for the 30 s of the read timeout."""


class Slots:
    """The slots of one AWS service.

    Args:
        count: how many calls may be in flight.
    """

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    def are_taken(self) -> bool:
        """Return whether the next call has to wait."""
        return self._free.locked()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for at most `STUCK_SECONDS`."""
        await self._free.acquire()
        is_held = True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(STUCK_SECONDS, release)
        try:
            yield
        finally:
            timer.cancel()
            release()
