"""When each resource was last written through here: every read sent before is too old.

Callers choose the resources, so that the log is bounded: when it is full, all reads sent before are
taken for too old, and it begins anew.

A write changes what is at its path, what is below it and what holds it; not its siblings.
"""

from __future__ import annotations

from typing import Final, TypeAlias

Resource: TypeAlias = tuple[str, ...]
"""Such as `("farms", "farm-1", "queues", "queue-1")`; empty for a whole AWS service."""

MAX_BYTES: Final = 8 * 1024 * 1024
PATH_BYTES: Final = 400
"""The overhead of a path: its tuple, and its places in two dictionaries."""
SEGMENT_BYTES: Final = 60
"""The overhead of each of its segments."""


class WriteLog:
    """When each resource was last written, as far back as an answer may be kept.

    Args:
        horizon: seconds; a write longer ago is forgotten, since no answer is older than that.
        max_bytes: of memory, by an estimate.
    """

    def __init__(self, horizon: float, max_bytes: int = MAX_BYTES) -> None:
        self._horizon = horizon
        self._max_bytes = max_bytes
        self._bytes = 0
        self._everything_at = float("-inf")
        """When the log was last full: it is as if everything had been written then."""
        self._at: dict[Resource, float] = {}
        """Path -> the last write at it."""
        self._below: dict[Resource, float] = {}
        """Path -> the last write at it or below it."""
        self._swept = 0.0

    def note(self, resource: Resource, now: float) -> None:
        """A write of the resource has been answered, or may have been done."""
        self._sweep(now)
        if resource not in self._at:
            self._bytes += _path_bytes(resource)
            if self._bytes > self._max_bytes:
                self._begin_anew(now)
                return
        self._at[resource] = now
        for depth in range(len(resource) + 1):
            self._below[resource[:depth]] = now

    def latest(self, resource: Resource) -> float:
        """When a write through here last changed the resource; -inf when none is known.

        A read sent before that moment may not show the write.
        """
        never = self._everything_at
        if not self._at:
            return never
        above = (self._at.get(resource[:depth], never) for depth in range(len(resource)))
        return max(self._below.get(resource, never), max(above, default=never))

    def _sweep(self, now: float) -> None:
        if now - self._swept < self._horizon:
            return
        self._swept = now
        for log in (self._at, self._below):
            old = [path for path, when in log.items() if now - when > self._horizon]
            for path in old:
                del log[path]
        self._bytes = sum(_path_bytes(path) for path in self._at)

    def _begin_anew(self, now: float) -> None:
        self._at.clear()
        self._below.clear()
        self._bytes, self._everything_at = 0, now


def _path_bytes(resource: Resource) -> int:
    """The memory of a path and of those above it, which share its segments."""
    depths = len(resource) + 1
    return depths * PATH_BYTES + sum(SEGMENT_BYTES + len(segment) for segment in resource)
