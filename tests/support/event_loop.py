"""What tests do with the event loop: run it on virtual time, and let its tasks proceed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps

from benchmarks.simulation.clock import virtually

SETTLE_ROUNDS = 12
"""More than the awaits between any two points that a test observes."""


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Decorate an asynchronous test so that sleeping takes no real time."""

    @wraps(test)
    def run(**arguments: object) -> None:
        async def main() -> None:
            await test(**arguments)

        virtually(main())

    return run


def now() -> float:
    """Return the time of the running loop in seconds."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let all tasks run until they wait for time to pass or for the test."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)
