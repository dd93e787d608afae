"""Answers kept for a while: bounded in number and bytes, the least recently used goes first.

An entry's age counts from when its call was sent: what AWS answered may be as old as that.
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
"""Bytes of memory for a byte of a response's body: 3.5 to 5 for its JSON as Python has it, as
measured with pages and single tasks, and 1 for the serialized responses made of it."""


def entry_bytes(body_bytes: int, key_bytes: int) -> int:
    """Return the memory that an entry takes.

    Args:
        body_bytes: of the response.
        key_bytes: of the request that it is cached for; a caller chooses them.
    """
    return ENTRY_BYTES + VALUE_FACTOR * body_bytes + key_bytes


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """An answer, or an error that is as good as one."""

    value: T
    sent_at: float
    size: int
    """Bytes of memory, the key's included."""


class ResponseCache(Generic[T]):
    """What was answered, by what was asked.

    Args:
        max_entries: no more answers than this.
        max_bytes: no more memory than this, by `entry_bytes`.
        max_age: seconds after which an answer is of no use to anybody.
    """

    def __init__(self, *, max_entries: int, max_bytes: int, max_age: float) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._entries: OrderedDict[Hashable, Entry[T]] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        """How often an answer was found, for metrics."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of memory of all entries."""
        return self._bytes

    @property
    def oldest(self) -> float | None:
        """When the oldest answer was sent for. Looks at all of them."""
        return min((entry.sent_at for entry in self._entries.values()), default=None)

    def get(self, key: Hashable, not_before: float) -> Entry[T] | None:
        """The answer to `key`, if its call was sent at `not_before` or later."""
        entry = self._entries.get(key)
        if entry is None or entry.sent_at < not_before:
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return entry

    def put(self, key: Hashable, entry: Entry[T], now: float) -> None:
        """Keeps an answer, unless a newer one is there or it is too old or too large to keep."""
        known = self._entries.get(key)
        if known is not None and known.sent_at > entry.sent_at:
            return
        if entry.size > self._max_bytes or now - entry.sent_at > self._max_age:
            return
        self._drop(key)
        self._entries[key] = entry
        self._bytes += entry.size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size
