"""Wait for a condition that no event announces, such as the state of another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

TIMEOUT_SECONDS = 20.0
INTERVAL_SECONDS = 0.02


def becomes_true(condition: Callable[[], object], timeout: float = TIMEOUT_SECONDS) -> bool:
    """Return whether the condition becomes true within `timeout` seconds."""
    give_up_at = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(INTERVAL_SECONDS)
    return True


def wait_until(condition: Callable[[], object], timeout: float = TIMEOUT_SECONDS) -> None:
    """Return once the condition is true; fail the test after `timeout` seconds."""
    assert becomes_true(condition, timeout), condition


async def wait_until_async(condition: Callable[[], object]) -> None:
    """Do the same while the tasks of the event loop proceed; the condition runs in a thread."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(INTERVAL_SECONDS)
