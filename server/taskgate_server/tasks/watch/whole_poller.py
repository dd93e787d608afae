"""The poller of all tasks of a parent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from grpc import StatusCode

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.change_log import ChangeLog
from taskgate_server.tasks.watch.parent_end import ParentEnd
from taskgate_server.tasks.watch.poll_interval import AtOnce
from taskgate_server.tasks.watch.poller import NEVER, Means, Poller, Wakes
from taskgate_server.tasks.watch.snapshots import Snapshots
from taskgate_server.tasks.watch.sources import Source, raise_first


class WholePoller(Poller):
    """All tasks of a parent.

    Args:
        source: see `Poller`.
        change_log: see `Poller`.
        means: see `Poller`.
        read_parent: reads the state of the parent itself.
    """

    def __init__(
        self,
        source: Source,
        change_log: ChangeLog,
        means: Means,
        read_parent: Callable[[], Awaitable[ParentState]],
    ) -> None:
        super().__init__(source, change_log, means)
        self._read_parent = read_parent
        self._parent = ParentEnd()
        self._has_ended = False
        """Whether the latest sweep was conclusive. False if no watcher wants to know."""
        self.snapshots = Snapshots(self.change_log)
        self._watchers: set[Wakes] = set()
        self._not_found = 0

    @property
    def is_watched(self) -> bool:
        """See `Poller`."""
        return bool(self._watchers)

    @property
    def parent_state(self) -> ParentState | None:
        """The latest known state of the parent itself."""
        return self._parent.state

    @property
    def settled(self) -> bool:
        """Whether nothing changes until a caller acts; False if no watcher wants to know."""
        state = self._parent.state
        still = state is not None and state.settles(all_settled=self.change_log.all_settled)
        return self._has_ended and still

    def attach(self, watcher: Wakes) -> None:
        """Tells the watcher of every change from now on."""
        self._watchers.add(watcher)
        self._awake.set()

    def detach(self, watcher: Wakes) -> None:
        """Tells it no more."""
        self._watchers.discard(watcher)
        self._end_if_unused()

    async def _sweep(self, *, full: bool) -> None:
        first = self.swept_at == NEVER
        # Watchers wait for the first one, which may be long, and others must not pay for it.
        pace = AtOnce() if first else self._budget
        try:
            await self._source.sweep(self.change_log, pace, full=full or first)
        except TaskgateError as error:
            self._not_found = self._not_found + 1 if error.code is StatusCode.NOT_FOUND else 0
            # AWS has to say so twice of what it had before.
            if first or self._not_found < 2:  # noqa: PLR2004  # twice
                raise
            self._lose_all()
        else:
            self._not_found = 0
        if first:
            self.change_log.begin()
        self.change_log.trim()

    async def _read(self, names: Collection[str]) -> None:
        raise_first(await self._source.read(self.change_log, names, AtOnce(self._budget)))

    def _lose_all(self) -> None:
        for entry in list(self.change_log.entries()):
            self.change_log.lose(entry.name, self._clock())
        self.gone = True

    async def _find_end(self, swept_at: float) -> bool:
        """See `Poller`."""
        had_ended, self._has_ended = self._has_ended, False
        if not any(watcher.wants_settled for watcher in self._watchers):
            return False
        if self.change_log.all_settled:
            self._parent.update(await self._read_parent(), self._clock())
        elif self._parent.is_due(self._clock()):
            self._budget.spend()
            self._parent.checked_at = self._clock()
            with suppress(TaskgateError):  # the tasks are known, and the next check is soon
                self._parent.update(await self._read_parent(), self._clock())
        settled = self.change_log.all_settled
        self._has_ended = self._parent.is_conclusive(swept_at, all_settled=settled)
        if not self._has_ended:
            at = self._parent.next_read(all_settled=settled)
            self._sweep_again(at, pause=self._timing.between_calls)
        return self._has_ended and not had_ended

    def _wake_for(self, changed: Collection[str], *, all_of_them: bool) -> None:
        if all_of_them or changed:
            for watcher in self._watchers:
                watcher.wake()
