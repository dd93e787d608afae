"""How many calls to one AWS service are in flight at once, not counting those that hang.

A thread that waits for a response cannot be interrupted, so a call that nobody waits for any more
keeps its thread until its read timeout. It gives its slot back at once, and any call does after
`STUCK_SECONDS`: when AWS responds again, new calls find threads although the old ones still hang.
"""

from __future__ import annotations

import asyncio
from typing import Final

STUCK_SECONDS: Final = 3.0
EXTRA_THREADS: Final = 64
"""For calls that have given their slots back: the circuit breaker lets a few into an outage each
second, and each may hang for the 30 s of the read timeout."""


class Slot:
    """The slot of one call; given back once."""

    __slots__ = ("_slots", "_timer")

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots: asyncio.Semaphore | None = slots
        self._timer = asyncio.get_running_loop().call_later(STUCK_SECONDS, self.release)

    def release(self) -> None:
        """Give the slot back; does nothing the second time."""
        if self._slots is not None:
            self._timer.cancel()
            self._slots.release()
            self._slots = None
