"""Rows of a snapshot that are sent while the rest is still being read from AWS.

Reading a thousand tasks of HealthOmics one by one takes 100 s at its published quota. A watcher
gets each as soon as it is known, and what changes meanwhile as a change after the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.snapshots import Snapshot


@dataclass(slots=True)
class EarlyRows:
    """What one watcher has been sent before its snapshot was complete."""

    names: set[str] = field(default_factory=set)
    """The tasks that were sent."""
    changed: dict[str, Entry] = field(default_factory=dict)
    """The latest change, by name, of those that have changed since."""
    observe_time: float | None = None
    """When AWS gave the oldest answer among them, in seconds since 1970."""

    def take(self, arrived: Iterable[Entry], since: float) -> list[Entry]:
        """Return those that are to be sent now.

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
        times = [entry.observe_time for entry in rows if entry.observe_time is not None]
        if times:
            self.observe_time = min([*times, *filter(None, [self.observe_time])])
        return rows

    def rest_of(self, snapshot: Snapshot) -> Snapshot:
        """Return the part of a snapshot that has not been sent."""
        if not self.names:
            return snapshot
        rest = [name for name in snapshot.names if name not in self.names]
        return Snapshot(snapshot.change_log, rest)
