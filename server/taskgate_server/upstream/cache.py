"""The cache of AWS's responses, and when each resource was last written: which are outdated.

The age of a response counts from when its request was sent, since AWS may have read its data then.
A write changes the resource at its path, those below it and those that contain it; not siblings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from taskgate_server.upstream.request import Resource

T = TypeVar("T")

ENTRY_BYTES: Final = 1500
"""The overhead of an entry: its key, its `Entry` and `AwsResponse`, and their dictionary slots."""

VALUE_FACTOR: Final = 6
"""Bytes of memory per byte of a response's body: 3.5 to 5 for its JSON as Python objects, as
measured with pages and single tasks, and 1 for the serialized responses made of it."""

MAX_LOG_BYTES: Final = 8 * 1024 * 1024
PATH_BYTES: Final = 400
"""The overhead of a path: its tuple, and its entries in two dictionaries."""
SEGMENT_BYTES: Final = 60
"""The overhead of each of its segments."""


def entry_bytes(body_bytes: int, key_bytes: int) -> int:
    """Return the memory of an entry, given the bytes of body and key; callers choose the key's."""
    return ENTRY_BYTES + VALUE_FACTOR * body_bytes + key_bytes


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A response, or an error that is cached like one."""

    value: T
    sent_at: float
    size: int
    """Bytes of memory, including the key."""


class ResponseCache(Generic[T]):
    """Responses by request key, least recently used, bounded in entries, bytes and age.

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


class WriteLog:
    """When each resource was last written through this server: older reads are outdated.

    Callers choose the resources, so the log is bounded. When it is full, it counts as if everything
    had been written, and starts again.

    Args:
        horizon: seconds after which a write is forgotten, since no cached response is older.
        max_bytes: of memory, estimated.
    """

    def __init__(self, horizon: float, max_bytes: int = MAX_LOG_BYTES) -> None:
        self._horizon = horizon
        self._max_bytes = max_bytes
        self._bytes = 0
        self._overflowed_at = float("-inf")
        """When the log was last full."""
        self._at: dict[Resource, float] = {}
        """Path -> the last write at it."""
        self._below: dict[Resource, float] = {}
        """Path -> the last write at it or below it."""
        self._swept_at = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether no write is known."""
        return not self._at and self._overflowed_at == float("-inf")

    def record(self, resource: Resource, now: float) -> None:
        """Record that a write of a resource has ended, or may have been executed."""
        self._sweep(now)
        if resource not in self._at:
            self._bytes += _path_bytes(resource)
            if self._bytes > self._max_bytes:
                self._at.clear()
                self._below.clear()
                self._bytes, self._overflowed_at = 0, now
                return
        self._at[resource] = now
        for depth in range(len(resource) + 1):
            self._below[resource[:depth]] = now

    def latest(self, resource: Resource) -> float:
        """Return when a write last changed a resource; -inf if none is known.

        The response to a read sent before then may not show the write.
        """
        never = self._overflowed_at
        if not self._at:
            return never
        above = (self._at.get(resource[:depth], never) for depth in range(len(resource)))
        return max(self._below.get(resource, never), max(above, default=never))

    def _sweep(self, now: float) -> None:
        if now - self._swept_at < self._horizon:
            return
        self._swept_at = now
        for log in (self._at, self._below):
            old = [path for path, when in log.items() if now - when > self._horizon]
            for path in old:
                del log[path]
        self._bytes = sum(_path_bytes(path) for path in self._at)


def _path_bytes(resource: Resource) -> int:
    """Return the memory of a path and of its prefixes, which share its segments."""
    depths = len(resource) + 1
    return depths * PATH_BYTES + sum(SEGMENT_BYTES + len(segment) for segment in resource)
