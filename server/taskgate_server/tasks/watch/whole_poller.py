"""The poller of all tasks of a parent, which is also the view of a watch of that parent."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from grpc import StatusCode

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.parent_end import ParentEnd
from taskgate_server.tasks.watch.poll_interval import Budget, Pace
from taskgate_server.tasks.watch.poller import (
    NEVER,
    SWEEP_SECONDS,
    Poller,
    PollerContext,
    Subscriber,
)
from taskgate_server.tasks.watch.snapshots import Snapshot, Snapshots
from taskgate_server.tasks.watch.sources import Source, raise_first


class WholePoller(Poller):
    """All tasks of a parent; also the `View` of a watch. Times are in seconds, by the clock."""

    def __init__(self, source: Source, context: PollerContext, parent: Parent) -> None:
        super().__init__(source, context)
        self._parent = ParentEnd(parent, context)
        self._has_ended = False
        """Whether the latest sweep was conclusive. False if no watcher wants to know."""
        self._snapshots = Snapshots(self.change_log)
        self._subscribers: set[Subscriber] = set()
        self._not_found = 0

    # --- View ----------------------------------------------------------------------------------

    @property
    def poller(self) -> Poller:
        """The poller."""
        return self

    def attach(self, subscriber: Subscriber) -> None:
        """Wake a subscriber for each change."""
        self._subscribers.add(subscriber)
        self._awake.set()
        if subscriber.wants_settled and not self.has_settled():
            self.sweep_soon()

    def detach(self, subscriber: Subscriber) -> None:
        """Stop waking a subscriber."""
        self._subscribers.discard(subscriber)
        self._end_if_unused()

    def refresh(self, since: float) -> None:
        """Read from AWS what was last requested before a time."""
        if self.began_at < since:
            self.sweep_soon()

    def fault(self, since: float) -> TaskgateError | None:
        """Return why something in view could not be read at a time or later, if so."""
        return self.error if self.failed_at >= since else None

    def checked_at(self) -> float:
        """Return when the oldest task in view was requested from AWS.

        -inf if one never was; inf if AWS no longer has any, so that there is nothing to request.
        """
        return math.inf if self.gone else self.swept_at

    def snapshot(self) -> Snapshot:
        """Return the tasks in view, in messages."""
        return self._snapshots.take()

    def entries(self) -> Iterator[Entry]:
        """Yield the tasks in view that are known."""
        return self.change_log.entries()

    def changes_after(self, revision: int, limit: int) -> list[Entry]:
        """Return the first changes after a revision, up to a limit, in their order."""
        return self.change_log.changes_after(revision, limit)

    def can_resume(self, revision: int) -> bool:
        """Return whether all changes since a revision are known, for a new watch."""
        return revision >= self.change_log.horizon

    def has_settled(self) -> bool:
        """Return whether nothing changes until a caller acts; False if no watcher wants to know."""
        state = self._parent.state
        is_still = state is not None and state.settles(all_settled=self.change_log.all_settled)
        return self._has_ended and is_still

    def parent_state(self) -> ParentState | None:
        """Return the state of the watched parent, or of one whose tasks in view never settle."""
        return self._parent.state

    # --- Poller --------------------------------------------------------------------------------

    async def _sweep(self, *, full: bool) -> None:
        first = self.swept_at == NEVER
        # Watchers wait for the first sweep. It may be long, and must not delay other pollers.
        poll = self._make_poll(Pace(Budget(math.inf, self._clock), 0)) if first else self._poll
        try:
            await self._source.sweep(poll, full=full or first)
        except TaskgateError as error:
            self._not_found = self._not_found + 1 if error.code is StatusCode.NOT_FOUND else 0
            # AWS has to confirm that a parent is gone that it had before.
            if first or self._not_found < 2:  # noqa: PLR2004  # twice
                raise
            for entry in list(self._origin.entries()):
                self._origin.remove(entry.name, self._clock())
            self.gone = True
        else:
            self._not_found = 0
        if first:
            self._start()
        self._origin.trim()

    async def _read(self, names: Collection[str]) -> None:
        raise_first(await self._source.read(self._urgent_poll, names))

    async def _find_end(self, swept_at: float) -> None:
        """See `Poller`."""
        had_ended, self._has_ended = self._has_ended, False
        if not self._wants_settled():
            return
        if self.change_log.all_settled:
            await self._parent.read()
        elif self._parent.is_due():
            await self._parent.check()
        settled = self.change_log.all_settled
        conclusive_from = self._parent.conclusive_from(all_settled=settled)
        self._has_ended = swept_at >= conclusive_from
        if not self._has_ended:
            self._sweep_again(conclusive_from, pause=SWEEP_SECONDS)
        elif not had_ended:
            self._wake((), everyone=True)

    def _start(self) -> None:
        """Make the tasks of the first sweep the initial state."""
        self.change_log.start()

    def _wants_settled(self) -> bool:
        return any(subscriber.wants_settled for subscriber in self._subscribers)

    def _wake(self, changed: Collection[str], *, everyone: bool) -> None:
        if everyone or changed:
            for subscriber in self._subscribers:
                subscriber.wake()
