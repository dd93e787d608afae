"""Snapshots: the tasks with which a watch begins, in messages that many watchers share.

    Snapshots   all snapshots of a change log, with the messages that were made
    Snapshot    one of them, being sent to one watcher
    EarlyRows   rows that one watcher receives before its snapshot is complete

A snapshot is not a copy. Each message has its tasks as they are when it is made; what has changed
since the beginning of the snapshot is sent again as a change. So a thousand slow readers of ten
thousand tasks hold one set of messages, not a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from taskgate_server.tasks.watch import messages as wire
from taskgate_server.tasks.watch.change_log import ChangeLog, Entry

MESSAGE_TASKS: Final = 100
MESSAGE_BYTES: Final = 256 * 1024
"""gRPC clients accept messages of 4 MiB by default. A slow reader holds one message in memory."""


@dataclass(slots=True)
class CachedMessages:
    """Serialized messages, and the entries that they contain."""

    entries: list[Entry]
    messages: list[bytes]


@dataclass(slots=True)
class Snapshot:
    """A snapshot that is being sent to one watcher."""

    change_log: ChangeLog
    names: Sequence[str]
    """The tasks at the beginning."""
    cache: dict[int, CachedMessages] = field(default_factory=dict)
    """Messages by the position of their first task."""
    left_out: set[str] = field(default_factory=set)
    """Tasks that were removed before they were sent, and are unknown to the watcher."""
    count: int = 0
    """The number of tasks that were sent."""
    observe_time: float | None = None
    """When AWS sent the oldest response among them, in seconds since 1970."""

    def messages(self, revision: int) -> Iterator[bytes]:
        """Yield the serialized WatchTasksResponses.

        Args:
            revision: of the last change before the snapshot.
        """
        for start in range(0, len(self.names), MESSAGE_TASKS):
            entries = []
            for name in self.names[start : start + MESSAGE_TASKS]:
                entry = self.change_log.get(name)
                if entry is None or entry.removed or entry.added > revision:
                    self.left_out.add(name)
                else:
                    entries.append(entry)
            self.count += len(entries)
            self.observe_time = _oldest(entries, self.observe_time)
            yield from self._make(start, entries)

    def _make(self, start: int, entries: list[Entry]) -> list[bytes]:
        cached = self.cache.get(start)
        if cached is None or cached.entries != entries:
            cached = CachedMessages(entries, list(messages_of(entries)))
            self.cache[start] = cached
        return cached.messages


class Snapshots:
    """The snapshots of all tasks of a change log."""

    def __init__(self, change_log: ChangeLog) -> None:
        self._change_log = change_log
        self._membership = -1
        self._names: tuple[str, ...] = ()
        self._cache: dict[int, CachedMessages] = {}

    def take(self) -> Snapshot:
        """Return a snapshot of the present tasks."""
        if self._membership != self._change_log.membership:
            self._membership = self._change_log.membership
            self._names = tuple(entry.name for entry in self._change_log.entries())
            self._cache = {}
        return Snapshot(self._change_log, self._names, self._cache)


@dataclass(slots=True)
class EarlyRows:
    """Rows that one watcher receives before its snapshot is complete.

    Reading a thousand tasks of HealthOmics one by one takes 100 s at its published quota. A watcher
    gets each task as soon as it is known, and changes to it after the snapshot.
    """

    names: set[str] = field(default_factory=set)
    """The tasks that were sent."""
    changed: dict[str, Entry] = field(default_factory=dict)
    """The latest change, by name, of those that have changed since."""
    observe_time: float | None = None
    """When AWS sent the oldest response among them, in seconds since 1970."""

    def take(self, arrived: Iterable[Entry], since: float) -> list[Entry]:
        """Return the rows to send now.

        Args:
            arrived: the latest changes of some tasks.
            since: the earliest time, by the clock, at which the request to AWS was sent.
        """
        rows: list[Entry] = []
        for entry in arrived:
            if entry.name in self.names:
                self.changed[entry.name] = entry
            elif not entry.removed and entry.sent_at >= since:
                self.names.add(entry.name)
                rows.append(entry)
        self.observe_time = _oldest(rows, self.observe_time)
        return rows

    def rest_of(self, snapshot: Snapshot) -> Snapshot:
        """Return the part of a snapshot that has not been sent."""
        if not self.names:
            return snapshot
        rest = [name for name in snapshot.names if name not in self.names]
        return Snapshot(snapshot.change_log, rest)


def messages_of(entries: Sequence[Entry]) -> Iterator[bytes]:
    """Yield serialized WatchTasksResponses, each with as many of the tasks as fit."""
    parts: list[bytes] = []
    size = 0
    for entry in entries:
        part = wire.snapshot_part(entry.task())
        if len(parts) == MESSAGE_TASKS or (parts and size + len(part) > MESSAGE_BYTES):
            yield wire.tasks(b"".join(parts))
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield wire.tasks(b"".join(parts))


def _oldest(entries: Iterable[Entry], observe_time: float | None) -> float | None:
    times = [entry.observe_time for entry in entries]
    return min((time for time in (*times, observe_time) if time is not None), default=None)
