"""Limits the connections of one address, and of all, to this process.

gRPC accepts connections itself and has no hook for it, and a limit for all of them alone. So the
process looks at its own sockets now and then, and shuts down those that are too many: the youngest
ones, so that callers with connections keep them. Linux only (`/proc/self/fd`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskgate_server.auth.limits import network_of
from taskgate_server.telemetry import LOG

CHECK_SECONDS: Final = 1.0
OPEN_FILES: Final = Path("/proc/self/fd")


@dataclass(slots=True, kw_only=True)
class ConnectionLimits:
    """Keeps connections within limits.

    Args:
        per_address: connections of one address.
        total: of all addresses.
        sleep: waits for seconds.
    """

    per_address: int
    total: int
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    closed: int = 0
    """Connections shut down so far, for metrics."""
    open: int = 0
    """Connections seen by the last check, for metrics."""

    async def run(self, port: int) -> None:
        """Check again and again.

        Args:
            port: that the connections are to.
        """
        while True:
            await self.sleep(CHECK_SECONDS)
            # In a thread: a look at 10,000 sockets takes some 50 ms.
            closed = await asyncio.to_thread(self.check, port)
            if closed:
                self.closed += sum(closed.values())
                address, count = closed.most_common(1)[0]
                LOG.warning(
                    "connections over the limit closed",
                    extra={"count": sum(closed.values()), "address": address, "of_it": count},
                )

    def check(self, port: int) -> Counter[str]:
        """Shut down the connections to the port that are too many; return how many by address."""
        seen: Counter[str] = Counter()
        closed: Counter[str] = Counter()
        count = 0
        for connection, address in _connections(port):
            with connection:
                if seen[address] >= self.per_address or count >= self.total:
                    with suppress(OSError):  # it has just ended by itself
                        connection.shutdown(socket.SHUT_RDWR)
                    closed[address] += 1
                else:
                    seen[address] += 1
                    count += 1
        self.open = count
        return closed


def _connections(port: int) -> Iterator[tuple[socket.socket, str]]:
    """Yield duplicates of the process's sockets connected to the port, and their addresses.

    gRPC may close a descriptor at any time and the system give its number to another file. A
    duplicate cannot change, so it is looked at, not the original. Low numbers come first: those are
    mostly the older connections.
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
        if isinstance(peer, tuple) and local[1] == port and duplicate.type == socket.SOCK_STREAM:
            yield duplicate, network_of(peer[0])
        else:
            duplicate.close()


def _duplicate(number: int) -> socket.socket | None:
    """Return a duplicate of a descriptor; None if it is no socket, or closed meanwhile."""
    try:
        duplicate = os.dup(number)
    except OSError:
        return None
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        return None
