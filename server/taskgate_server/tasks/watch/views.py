"""What a watch sees of a poller: all its tasks, or some of them by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.named_poller import NamedPoller
from taskgate_server.tasks.watch.poller import NEVER, Poller, Wakes
from taskgate_server.tasks.watch.snapshots import Snapshot
from taskgate_server.tasks.watch.whole_poller import WholePoller


class View(Protocol):
    """A part of what a poller knows."""

    @property
    def poller(self) -> Poller:
        """What it is a part of."""

    def attach(self, watcher: Wakes) -> None:
        """Has the watcher woken for each change, and AWS asked if what is known is too old."""

    def detach(self, watcher: Wakes) -> None:
        """Has it woken no more."""

    def want(self, since: float) -> None:
        """Has AWS asked, if it has not been since then."""

    def is_fresh(self, since: float) -> bool:
        """Whether AWS has been asked about everything in view at that moment or later."""

    def fault(self, since: float) -> TaskgateError | None:
        """Why it could not be asked, as far as it was tried since then."""

    def checked_at(self) -> float:
        """When AWS was last asked successfully about everything in view; -inf for never."""

    def snapshot(self) -> Snapshot:
        """All of it, to be told in pieces."""

    def entries(self) -> Iterator[Entry]:
        """What is known of them."""

    def since(self, position: int, limit: int) -> list[Entry]:
        """The changes after a position, as `ChangeLog.since`."""

    def remembers(self, position: int) -> bool:
        """Whether all is known that has happened since a watcher came as far as that."""

    def follows(self, position: int) -> bool:
        """Whether a watcher that is there, and has come as far as that, can be told the rest."""

    def has_settled(self) -> bool:
        """Return whether nothing changes until a caller acts."""

    def parent_state(self) -> ParentState | None:
        """Return the state of the watched parent, or of one whose tasks in view never settle."""

    def is_gone(self) -> bool:
        """Whether AWS has nothing of it any more."""


class Whole:
    """All tasks of a parent."""

    def __init__(self, poller: WholePoller) -> None:
        self.poller = poller
        self._ledger = poller.change_log

    def attach(self, watcher: Wakes) -> None:
        """See `View`."""
        self.poller.attach(watcher)
        if watcher.wants_settled and not self.poller.settled:
            self.poller.poke()

    def detach(self, watcher: Wakes) -> None:
        """See `View`."""
        self.poller.detach(watcher)

    def want(self, since: float) -> None:
        """See `View`."""
        if self.poller.began_at < since:
            self.poller.poke()

    def is_fresh(self, since: float) -> bool:
        """See `View`."""
        return self.poller.swept_at >= since or self.poller.gone

    def fault(self, since: float) -> TaskgateError | None:
        """See `View`."""
        return self.poller.error if self.poller.failed_at >= since else None

    def checked_at(self) -> float:
        """See `View`."""
        return self.poller.swept_at

    def snapshot(self) -> Snapshot:
        """See `View`."""
        return self.poller.snapshots.take()

    def entries(self) -> Iterator[Entry]:
        """See `View`."""
        return self._ledger.entries()

    def since(self, position: int, limit: int) -> list[Entry]:
        """See `View`."""
        return self._ledger.since(position, limit)

    def remembers(self, position: int) -> bool:
        """See `View`."""
        return position >= self._ledger.horizon

    def follows(self, position: int) -> bool:
        """See `View`."""
        return position >= self._ledger.horizon

    def has_settled(self) -> bool:
        """See `View`."""
        return self.poller.settled

    def parent_state(self) -> ParentState | None:
        """See `View`."""
        return self.poller.parent_state

    def is_gone(self) -> bool:
        """See `View`."""
        return self.poller.gone


class Some:
    """Tasks by name.

    Args:
        poller: that has them all.
        names: each once.
    """

    def __init__(self, poller: NamedPoller, names: Collection[str]) -> None:
        self.poller: NamedPoller = poller
        self._names = tuple(names)
        self._ledger = poller.change_log

    def attach(self, watcher: Wakes) -> None:
        """See `View`."""
        self.poller.attach(watcher, self._names)

    def detach(self, watcher: Wakes) -> None:
        """See `View`."""
        self.poller.detach(watcher, self._names)

    def want(self, since: float) -> None:
        """See `View`."""
        self.poller.touch([name for name in self._names if self._asked_at(name) < since])

    def is_fresh(self, since: float) -> bool:
        """See `View`."""
        return self.checked_at() >= since

    def fault(self, since: float) -> TaskgateError | None:
        """See `View`."""
        for name in self._names:
            if name in self.poller.faults and self.poller.faulted_at[name] >= since:
                return self.poller.faults[name]
        # What befell the last attempt befell these names only if they were in it.
        unknown = any(self._ledger.get(name) is None for name in self._names)
        return self.poller.error if unknown and self.poller.failed_at >= since else None

    def checked_at(self) -> float:
        """See `View`."""
        return min(self._asked_at(name) for name in self._names)

    def snapshot(self) -> Snapshot:
        """See `View`."""
        return Snapshot(self._ledger, self._names)

    def entries(self) -> Iterator[Entry]:
        """See `View`."""
        for name in self._names:
            entry = self._ledger.get(name)
            if entry is not None:
                yield entry

    def since(self, position: int, limit: int) -> list[Entry]:
        """See `View`."""
        return self._ledger.since(position, limit, self._names)

    def remembers(self, position: int) -> bool:
        """See `View`. Of a task that was forgotten meanwhile the beginning is later than that."""
        return all(
            (entry := self._ledger.get(name)) is not None and entry.added <= position
            for name in self._names
        )

    def follows(self, position: int) -> bool:  # noqa: ARG002  # nothing is forgotten that is named
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

    def _asked_at(self, name: str) -> float:
        entry = self._ledger.get(name)
        return NEVER if entry is None else entry.sent_at
