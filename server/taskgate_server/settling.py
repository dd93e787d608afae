"""The end of the start: memory that only the start needed goes back to the system."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable
from contextlib import suppress

from taskgate_server.upstream.aws_client.connection import Connection


def settle() -> None:
    """Exempt all present objects from garbage collection, and return freed memory to the system.

    The objects of the AWS clients live as long as the server: the collector need not examine them
    again, which takes 10 ms. Threads make the clients, and glibc retains what a thread has freed,
    2 MiB here.
    """
    import ctypes  # noqa: PLC0415  # takes 5 ms, which the start has no time for

    gc.collect()
    gc.freeze()
    with suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


async def settle_after_start(
    connections: Iterable[Connection], settle: Callable[[], None] = settle
) -> None:
    """Settle when the first attempts to make the AWS clients have ended.

    Args:
        connections: whose clients are made at the start.
        settle: called once.
    """
    await asyncio.gather(*(each.wait_for_change(0) for each in connections))
    settle()
