"""Limits the connections to this process: of each address, and in total.

gRPC accepts connections itself, has no hook for that, and can only limit their total. Therefore the
process examines its own sockets every second and shuts down those over a limit: the youngest, so
that callers with older connections keep them. Linux only (`/proc/self/fd`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskgate_server.auth.limits import network_of
from taskgate_server.telemetry.logs import LOG

CHECK_SECONDS: Final = 1.0
OPEN_FILES: Final = Path("/proc/self/fd")


@dataclass(slots=True, kw_only=True)
class ConnectionLimits:
    """Shuts down connections that exceed the limits for one address or for all of them."""

    per_address: int
    total: int
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self, *ports: int) -> None:
        """Check the connections to some ports every second, until cancelled."""
        while True:
            await self.sleep(CHECK_SECONDS)
            # In a thread: examining 10,000 sockets takes some 50 ms.
            closed = await asyncio.to_thread(self.check, *ports)
            if closed:
                address, count = closed.most_common(1)[0]
                LOG.warning(
                    "connections over the limit closed",
                    extra={"count": sum(closed.values()), "address": address, "of_it": count},
                )

    def check(self, *ports: int) -> Counter[str]:
        """Shut down the connections to the ports over a limit; return how many by address."""
        accepted: Counter[str] = Counter()
        closed: Counter[str] = Counter()
        count = 0
        for connection, address in _connections(ports):
            with connection:
                if accepted[address] >= self.per_address or count >= self.total:
                    with suppress(OSError):  # it has just ended
                        connection.shutdown(socket.SHUT_RDWR)
                    closed[address] += 1
                else:
                    accepted[address] += 1
                    count += 1
        return closed


def _connections(ports: Collection[int]) -> Iterator[tuple[socket.socket, str]]:
    """Yield duplicates of the process's sockets connected to the ports, and their addresses.

    gRPC may close a descriptor at any time, and the system may reuse its number for another file. A
    duplicate cannot change. Low numbers come first, which are mostly the older connections.
    """
    for number in sorted(int(path.name) for path in OPEN_FILES.iterdir()):
        duplicate = _duplicate(number)
        if duplicate is None:
            continue
        try:
            local, peer = duplicate.getsockname(), duplicate.getpeername()
        except OSError:  # a listener
            duplicate.close()
            continue
        if isinstance(peer, tuple) and local[1] in ports and duplicate.type == socket.SOCK_STREAM:
            yield duplicate, network_of(peer[0])
        else:
            duplicate.close()


def _duplicate(number: int) -> socket.socket | None:
    """Return a duplicate of a descriptor; None if it is not a socket, or closed meanwhile."""
    try:
        duplicate = os.dup(number)
    except OSError:
        return None
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        return None
