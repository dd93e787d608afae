"""Being asked to stop: once to drain, twice to stop at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Stopping:
    """What signals say. `begun` is set by the first one, `at_once` by the next."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """Somebody asks."""
        (self.at_once if self.begun.is_set() else self.begun).set()

    async def pause(self, seconds: float) -> None:
        """Waits, but no longer than until it is to stop at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.at_once.wait()
