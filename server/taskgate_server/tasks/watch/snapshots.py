"""Snapshots: the tasks with which a watch begins, in messages that many watchers share.

    Snapshots   all snapshots of a change log, with the messages that were made
    Snapshot    one of them, being sent to one watcher

A snapshot is not a copy. Each message has its tasks as they are when it is made; what has changed
since the beginning of the snapshot is sent again as a change. So a thousand slow readers of ten
thousand tasks hold one set of messages, not a thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from taskgate_server.tasks.response_size import split
from taskgate_server.tasks.watch import messages as wire
from taskgate_server.tasks.watch.change_log import ChangeLog, Entry

MESSAGE_TASKS: Final = 100
MESSAGE_BYTES: Final = 256 * 1024
"""gRPC clients accept messages of 4 MiB by default. A slow reader holds one message in memory."""

CachedMessages: TypeAlias = tuple[list[Entry], list[bytes]]
"""Entries, and the serialized messages that contain them."""


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

    def without(self, names: Collection[str]) -> Snapshot:
        """Return the snapshot without some tasks."""
        if not names:
            return self
        return Snapshot(self.change_log, [name for name in self.names if name not in names])

    def messages(self, revision: int) -> Iterator[bytes]:
        """Yield the serialized WatchTasksResponses of a snapshot that was taken at a revision."""
        for start in range(0, len(self.names), MESSAGE_TASKS):
            entries = []
            for name in self.names[start : start + MESSAGE_TASKS]:
                entry = self.change_log.get(name)
                if entry is None or entry.removed or entry.added > revision:
                    self.left_out.add(name)
                else:
                    entries.append(entry)
            self.count += len(entries)
            self.observe_time = oldest(entries, self.observe_time)
            cached = self.cache.get(start)
            if cached is None or cached[0] != entries:
                cached = self.cache[start] = entries, list(messages_of(entries))
            yield from cached[1]


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


def messages_of(entries: Sequence[Entry]) -> Iterator[bytes]:
    """Yield serialized WatchTasksResponses, each with as many of the tasks as fit."""
    parts = (wire.snapshot_part(entry.task()) for entry in entries)
    for some in split(parts, len, MESSAGE_TASKS, MESSAGE_BYTES):
        yield wire.tasks(b"".join(some))


def oldest(entries: Iterable[Entry], observe_time: float | None) -> float | None:
    """Return the earliest of these times; None if there are none."""
    times = [entry.observe_time for entry in entries]
    return min((time for time in (*times, observe_time) if time is not None), default=None)
