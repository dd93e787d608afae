"""TCP ports for processes that cannot choose a port themselves (port 0)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Final

FIRST_PORT: Final = 10_000
LAST_PORT: Final = 32_000
"""Below Linux's default ip_local_port_range (32768 to 60999): the kernel gives none of these ports
to an outgoing connection or to a listener on port 0 between the choice and the use."""

PORTS_PER_PROCESS: Final = 500


def _candidates() -> Iterator[int]:
    """Yield ports of this process's slice, each once per round, so that reuse is late."""
    slices = (LAST_PORT - FIRST_PORT) // PORTS_PER_PROCESS
    first = FIRST_PORT + os.getpid() % slices * PORTS_PER_PROCESS
    return (first + number % PORTS_PER_PROCESS for number in count())


_CANDIDATES: Final = _candidates()


def free_ports(count: int) -> list[int]:
    """Return `count` consecutive ports of 127.0.0.1 without a listener.

    Test processes choose from different slices, so they do not choose each other's ports.
    """
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            port = next(_CANDIDATES)
            candidate = stack.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                ports.clear()
                continue
            if ports and port != ports[-1] + 1:
                ports.clear()
            ports.append(port)
    return ports


def free_port() -> int:
    """Return a port of 127.0.0.1 without a listener."""
    return free_ports(1)[0]


def refused_endpoint() -> str:
    """Return the URL of a port without a listener, which refuses connections."""
    return f"http://127.0.0.1:{free_port()}"
