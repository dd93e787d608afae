"""A least-recently-used cache whose size is counted in bytes.

Callers choose what is cached, so a bound on the number of entries alone would let one of them fill
the memory with large entries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ENTRY_BYTES: Final = 300
"""The overhead of an entry on 64-bit CPython 3.11 to 3.14: dictionary slot, key tuple and value."""


class BoundedCache(Generic[K, V]):
    """A mapping that evicts the entries used least recently once it holds `max_bytes`.

    Args:
        max_bytes: the sum of the sizes of all entries, `ENTRY_BYTES` included.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        """Bytes of all entries."""
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value of a key, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Store a value, unless it alone exceeds the bound.

        Args:
            key: replaces the entry with the same key.
            value: anything.
            size: bytes of key and value, without `ENTRY_BYTES`.
        """
        self.discard(key)
        size += ENTRY_BYTES
        if size > self.max_bytes:
            return
        self._entries[key] = value, size
        self.size += size
        while self.size > self.max_bytes:
            _, (_, evicted) = self._entries.popitem(last=False)
            self.size -= evicted

    def discard(self, key: K) -> None:
        """Remove the entry of a key, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]
