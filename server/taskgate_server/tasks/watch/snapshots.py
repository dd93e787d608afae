"""Snapshots: all tasks that a watch begins with, in messages that many watchers share.

    Snapshots   of one ledger, with the messages that were made of it
    Snapshot    one of them, being told

A snapshot is not a copy. While it is told, each message has its tasks as they then are; what has
changed since the beginning is told again as a change. So a thousand slow readers of ten thousand
tasks hold one set of messages, not a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from taskgate_server.tasks.watch import messages as wire
from taskgate_server.tasks.watch.change_log import ChangeLog, Entry

MESSAGE_TASKS: Final = 100
MESSAGE_BYTES: Final = 256 * 1024
"""gRPC's clients take messages of 4 MiB by default, and a message is what a slow reader holds."""


@dataclass(slots=True)
class Made:
    """Messages, and what they were made of."""

    entries: list[Entry]
    messages: list[bytes]


@dataclass(slots=True)
class Snapshot:
    """A snapshot being told to one watcher."""

    change_log: ChangeLog
    names: Sequence[str]
    """The tasks at the beginning."""
    made: dict[int, Made] = field(default_factory=dict)
    """Messages by the place of their first task."""
    left_out: set[str] = field(default_factory=set)
    """Tasks that went before they were told, of which the watcher knows nothing."""
    count: int = 0
    """How many tasks have been told."""
    observe_time: float | None = None
    """When AWS gave the oldest answer among them."""

    def messages(self, position: int) -> Iterator[bytes]:
        """The serialized WatchTasksResponses.

        Args:
            position: the number of the last change before the snapshot.
        """
        for start in range(0, len(self.names), MESSAGE_TASKS):
            entries = []
            for name in self.names[start : start + MESSAGE_TASKS]:
                entry = self.change_log.get(name)
                if entry is None or entry.removed or entry.added > position:
                    self.left_out.add(name)
                else:
                    entries.append(entry)
            self._note(entries)
            yield from self._made(start, entries)

    def _note(self, entries: Sequence[Entry]) -> None:
        self.count += len(entries)
        known = [self.observe_time] if self.observe_time is not None else []
        times = [entry.observe_time for entry in entries if entry.observe_time is not None]
        self.observe_time = min([*known, *times], default=None)

    def _made(self, start: int, entries: list[Entry]) -> list[bytes]:
        made = self.made.get(start)
        if made is None or made.entries != entries:
            made = self.made[start] = Made(entries, list(messages_of(entries)))
        return made.messages


class Snapshots:
    """The snapshots of all tasks of a ledger."""

    def __init__(self, change_log: ChangeLog) -> None:
        self._ledger = change_log
        self._membership = -1
        self._names: tuple[str, ...] = ()
        self._made: dict[int, Made] = {}

    def take(self) -> Snapshot:
        """A snapshot of what is there now."""
        if self._membership != self._ledger.membership:
            self._membership = self._ledger.membership
            self._names = tuple(entry.name for entry in self._ledger.entries())
            self._made = {}
        return Snapshot(self._ledger, self._names, self._made)


def messages_of(entries: Sequence[Entry]) -> Iterator[bytes]:
    """The serialized WatchTasksResponses of tasks, with as many as fit in each."""
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
