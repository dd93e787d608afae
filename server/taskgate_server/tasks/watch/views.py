"""What a watch can see: all tasks of a poller (`WholePoller`), or some of them by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.named_poller import NamedPoller
from taskgate_server.tasks.watch.poller import NEVER, Poller, Subscriber
from taskgate_server.tasks.watch.snapshots import Snapshot


class View(Protocol):
    """A part of the tasks of a poller. Times are those of the poller's clock, in seconds."""

    @property
    def poller(self) -> Poller:
        """The poller."""

    def attach(self, subscriber: Subscriber) -> None:
        """Wake a subscriber for each change."""

    def detach(self, subscriber: Subscriber) -> None:
        """Stop waking a subscriber."""

    def refresh(self, since: float) -> None:
        """Read from AWS what was last requested before a time."""

    def is_fresh(self, since: float) -> bool:
        """Return whether everything in view was requested from AWS at a time or later."""

    def fault(self, since: float) -> TaskgateError | None:
        """Return why something in view could not be read at a time or later, if so."""

    def checked_at(self) -> float:
        """Return when the oldest task in view was requested from AWS; -inf for never."""

    def snapshot(self) -> Snapshot:
        """Return the tasks in view, in messages."""

    def entries(self) -> Iterator[Entry]:
        """Yield the tasks in view that are known."""

    def changes_after(self, revision: int, limit: int) -> list[Entry]:
        """Return changes as `ChangeLog.changes_after`."""

    def can_resume(self, revision: int) -> bool:
        """Return whether all changes since a revision are known, for a new watch."""

    def can_continue(self, revision: int) -> bool:
        """Return whether all changes since a revision are known, for a watch that is open."""

    def has_settled(self) -> bool:
        """Return whether nothing changes until a caller acts."""

    def parent_state(self) -> ParentState | None:
        """Return the state of the watched parent, or of one whose tasks in view never settle."""

    def is_gone(self) -> bool:
        """Return whether AWS no longer has anything in view."""


class NamedTasks:
    """The view of tasks by name.

    Args:
        poller: reads all of them.
        names: without duplicates.
    """

    def __init__(self, poller: NamedPoller, names: Collection[str]) -> None:
        self.poller: NamedPoller = poller
        self._names = tuple(names)
        self._change_log = poller.change_log

    def attach(self, subscriber: Subscriber) -> None:
        """See `View`."""
        self.poller.attach(subscriber, self._names)

    def detach(self, subscriber: Subscriber) -> None:
        """See `View`."""
        self.poller.detach(subscriber, self._names)

    def refresh(self, since: float) -> None:
        """See `View`."""
        self.poller.read_now([name for name in self._names if self._requested_at(name) < since])

    def is_fresh(self, since: float) -> bool:
        """See `View`."""
        return self.checked_at() >= since

    def fault(self, since: float) -> TaskgateError | None:
        """See `View`."""
        for name in self._names:
            if name in self.poller.faults and self.poller.faulted_at[name] >= since:
                return self.poller.faults[name]
        # The latest attempt concerned these names only if they were part of it.
        unknown = any(self._change_log.get(name) is None for name in self._names)
        return self.poller.error if unknown and self.poller.failed_at >= since else None

    def checked_at(self) -> float:
        """See `View`."""
        return min(self._requested_at(name) for name in self._names)

    def snapshot(self) -> Snapshot:
        """See `View`."""
        return Snapshot(self._change_log, self._names)

    def entries(self) -> Iterator[Entry]:
        """See `View`."""
        for name in self._names:
            entry = self._change_log.get(name)
            if entry is not None:
                yield entry

    def changes_after(self, revision: int, limit: int) -> list[Entry]:
        """See `View`."""
        return self._change_log.changes_after(revision, limit, self._names)

    def can_resume(self, revision: int) -> bool:
        """See `View`. A task that was forgotten meanwhile has been added after the revision."""
        return all(
            (entry := self._change_log.get(name)) is not None and entry.added <= revision
            for name in self._names
        )

    def can_continue(self, revision: int) -> bool:  # noqa: ARG002  # watched tasks are not forgotten
        """See `View`."""
        return True

    def has_settled(self) -> bool:
        """See `View`."""
        return all(
            entry.settled or self.poller.ended_parent(entry) is not None for entry in self.entries()
        )

    def parent_state(self) -> ParentState | None:
        """See `View`: that of the first task that can never settle."""
        return next(filter(None, map(self.poller.ended_parent, self.entries())), None)

    def is_gone(self) -> bool:
        """See `View`."""
        return all(entry.removed for entry in self.entries())

    def _requested_at(self, name: str) -> float:
        entry = self._change_log.get(name)
        return NEVER if entry is None else entry.sent_at
