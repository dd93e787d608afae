"""What a replica's memory grows with, by what was measured of each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REST_MIB: Final = 106.0
"""A server that has its clients and contracts loaded: `make bench-watch`."""
STREAM_KIB: Final = 32.8
"""An idle watch: `make bench-watch`."""
CALLER_KIB: Final = 18.2
"""A caller who waits for an answer: `make bench`, the growth to 10,000 callers."""
TASK_KIB: Final = 3.3
"""A task that a poller keeps, with the messages of its snapshot: `make bench-watch`, 32 MiB for
10,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one replica has at a time."""

    streams: float = 0.0
    waiting: float = 0.0
    """Callers who wait for an answer."""
    tasks: float = 0.0
    """In its pollers."""

    @property
    def mib(self) -> float:
        """Return the memory of the process."""
        kib = self.streams * STREAM_KIB + self.waiting * CALLER_KIB + self.tasks * TASK_KIB
        return REST_MIB + kib / 1024


def watch_load(parents: int, tasks: int, watchers: int, replicas: int, *, ring: bool) -> Load:
    """Return the load of one replica; without ring-hash each has all tasks."""
    parts = replicas if ring else 1
    return Load(streams=watchers / replicas, tasks=parents * tasks / parts)
