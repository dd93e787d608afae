"""Which replica a call goes to: the next one, or the one whose place on a ring is the parent's.

The ring is made as Envoy's `RING_HASH` makes it: each replica has as many points as the others, at
least 1,024 in all, at the hashes of its address and a number; a name belongs to the next point.
The ring keeps its size, so where a replica goes the others get more points, and some parents change
between those that stay. Envoy hashes with xxHash64, here it is BLAKE2b: either spreads evenly.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Collection
from typing import Final, Protocol

MINIMUM_RING_SIZE: Final = 1024
"""Envoy's default."""


class Router(Protocol):
    """Chooses a replica for each call."""

    def route(self, parent: str) -> int:
        """Return the index of the replica for a call about this parent."""

    def lose(self, replica: int) -> None:
        """Remove a replica."""


class RoundRobin:
    """Each call goes to the next replica.

    Args:
        replicas: their numbers.
    """

    def __init__(self, replicas: Collection[int]) -> None:
        self._replicas = list(replicas)
        self._next = 0

    def route(self, parent: str) -> int:  # noqa: ARG002  # it does not matter
        """See `Router`."""
        self._next = (self._next + 1) % len(self._replicas)
        return self._replicas[self._next]

    def lose(self, replica: int) -> None:
        """See `Router`."""
        self._replicas.remove(replica)


class RingHash:
    """Calls about one parent go to one replica.

    Args:
        replicas: their numbers.
    """

    def __init__(self, replicas: Collection[int]) -> None:
        self._replicas = set(replicas)
        self._build()

    def route(self, parent: str) -> int:
        """See `Router`."""
        index = bisect_left(self._points, (_hash(parent), -1))
        return self._points[index % len(self._points)][1]

    def lose(self, replica: int) -> None:
        """See `Router`."""
        self._replicas.discard(replica)
        self._build()

    def _build(self) -> None:
        each = math.ceil(MINIMUM_RING_SIZE / len(self._replicas))
        self._points = sorted(
            (_hash(f"10.0.0.{replica}:50051_{number}"), replica)
            for replica in self._replicas
            for number in range(each)
        )


ROBIN: Final = "round robin"
RING: Final = "ring-hash"
ROUTERS: Final[dict[str, type[RoundRobin] | type[RingHash]]] = {
    ROBIN: RoundRobin,
    RING: RingHash,
}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
