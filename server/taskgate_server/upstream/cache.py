"""The cache of AWS's responses: least recently used, bounded in entries, bytes and age.

The age of an entry counts from when its request was sent, since AWS may have read its data then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ENTRY_BYTES: Final = 1500
"""The overhead of an entry: its key, its `Entry` and `AwsResponse`, and their dictionary slots."""

VALUE_FACTOR: Final = 6
"""Bytes of memory per byte of a response's body: 3.5 to 5 for its JSON as Python objects, as
measured with pages and single tasks, and 1 for the serialized responses made of it."""


def entry_bytes(body_bytes: int, key_bytes: int) -> int:
    """Return the memory that an entry takes.

    Args:
        body_bytes: of the response.
        key_bytes: of the request, whose size a caller chooses.
    """
    return ENTRY_BYTES + VALUE_FACTOR * body_bytes + key_bytes


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A response, or an error that is cached like one."""

    value: T
    sent_at: float
    size: int
    """Bytes of memory, including the key."""


class ResponseCache(Generic[T]):
    """Responses by request key.

    Args:
        max_entries: bounds the number of responses.
        max_bytes: bounds their memory, by `entry_bytes`.
        max_age: seconds after which a response is not stored.
    """

    def __init__(self, *, max_entries: int, max_bytes: int, max_age: float) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._entries: OrderedDict[Hashable, Entry[T]] = OrderedDict()
        self.size = 0
        """Bytes of memory of all entries."""
        self.hits = 0
        """Successful lookups, for metrics."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> float | None:
        """When the request of the oldest response was sent. Takes linear time."""
        return min((entry.sent_at for entry in self._entries.values()), default=None)

    def get(self, key: Hashable, not_before: float) -> Entry[T] | None:
        """Return the response to a request, if it was sent at `not_before` or later."""
        entry = self._entries.get(key)
        if entry is None or entry.sent_at < not_before:
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return entry

    def put(self, key: Hashable, entry: Entry[T], now: float) -> None:
        """Store a response, unless a newer one is stored or it is too old or too large."""
        existing = self._entries.get(key)
        if existing is not None and existing.sent_at > entry.sent_at:
            return
        if entry.size > self._max_bytes or now - entry.sent_at > self._max_age:
            return
        self._drop(key)
        self._entries[key] = entry
        self.size += entry.size
        while len(self._entries) > self._max_entries or self.size > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size
