"""When each resource was last written through here: every read sent before is too old.

A write changes what is at its path, what is below it and what holds it; not its siblings.
"""

from __future__ import annotations

from typing import TypeAlias

Resource: TypeAlias = tuple[str, ...]
"""Such as `("farms", "farm-1", "queues", "queue-1")`; empty for a whole AWS service."""


class WriteLog:
    """When each resource was last written, as far back as an answer may be kept.

    Args:
        horizon: seconds; a write longer ago is forgotten, since no answer is older than that.
    """

    def __init__(self, horizon: float) -> None:
        self._horizon = horizon
        self._at: dict[Resource, float] = {}
        """Path -> the last write at it."""
        self._below: dict[Resource, float] = {}
        """Path -> the last write at it or below it."""
        self._swept = 0.0

    def note(self, resource: Resource, now: float) -> None:
        """A write of the resource has been answered, or may have been done."""
        self._sweep(now)
        self._at[resource] = now
        for depth in range(len(resource) + 1):
            self._below[resource[:depth]] = now

    def latest(self, resource: Resource) -> float:
        """When a write through here last changed the resource; -inf when none is known.

        A read sent before that moment may not show the write.
        """
        never = float("-inf")
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
