"""The poller of tasks by name: it reads those that somebody watches, and no others."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.change_log import ChangeLog, Entry
from taskgate_server.tasks.watch.parent_end import ParentEnd, Parents
from taskgate_server.tasks.watch.poll_interval import MIN_SECONDS, AtOnce
from taskgate_server.tasks.watch.poller import NEVER, Means, Poller, Wakes
from taskgate_server.tasks.watch.sources import Faults, Source, raise_first

ROOTS_PER_SWEEP: Final = 2
"""How many jobs and runs are checked after a sweep, which delays the next one."""


class NamedPoller(Poller):
    """Tasks by name.

    Args:
        source: see `Poller`.
        change_log: see `Poller`.
        means: see `Poller`.
        parents: reads the states of the tasks' jobs or runs.
    """

    def __init__(
        self, source: Source, change_log: ChangeLog, means: Means, parents: Parents
    ) -> None:
        super().__init__(source, change_log, means)
        self._parents = parents
        self._roots: dict[str, ParentEnd] = {}
        """Jobs and runs of watched tasks that have not settled, by name."""
        self._stuck: set[str] = set()
        """The tasks of which watchers know that they can never settle."""
        self._watchers: defaultdict[str, set[Wakes]] = defaultdict(set)
        self._left_at: dict[str, float] = {}
        """Names of known tasks without watchers, and since when. A task that was never read is not
        kept: callers could name millions, while AWS's quota bounds how many are read."""
        self.faults: Faults = {}
        """Why a task could not be read when it last was to be, by name."""
        self.faulted_at: dict[str, float] = {}
        """When that was."""
        self.next_at = self._clock() + MIN_SECONDS  # whoever comes touches its tasks

    @property
    def is_watched(self) -> bool:
        """See `Poller`."""
        return bool(self._watchers)

    @property
    def is_loaded(self) -> bool:
        """See `Poller`."""
        return bool(self._left_at)

    def watches(self, name: str) -> bool:
        """Whether anybody watches the task."""
        return name in self._watchers

    def attach(self, watcher: Wakes, names: Collection[str]) -> None:
        """Tells the watcher of every change of these tasks from now on."""
        for name in names:
            self._watchers[name].add(watcher)
            self._left_at.pop(name, None)
        self._awake.set()

    def detach(self, watcher: Wakes, names: Collection[str]) -> None:
        """Tells it no more."""
        for name in names:
            watchers = self._watchers[name]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[name]
                self.faults.pop(name, None)
                self.faulted_at.pop(name, None)
                if self.change_log.get(name) is not None:
                    self._left_at[name] = self._clock()
        self._end_if_unused()

    async def _sweep(self, *, full: bool) -> None:
        began = self._clock()
        self._forget_left(began)
        settled_before = began - self._timing.settled_by_name
        names = [name for name in self._watchers if full or self._is_due(name, settled_before)]
        self._note(names, await self._source.read(self.change_log, names, self._budget), began)

    async def _read(self, names: Collection[str]) -> None:
        names = [name for name in names if name in self._watchers]
        began, pace = self._clock(), AtOnce(self._budget)
        try:
            self._note(names, await self._source.read(self.change_log, names, pace), began)
        finally:
            self._wake_for(names, all_of_them=False)

    def _note(self, names: Collection[str], faults: Faults, began: float) -> None:
        """Keeps why tasks could not be read; it is everybody's matter if none could."""
        for name in names:
            self.faults.pop(name, None)
            self.faulted_at.pop(name, None)
        self.faults.update(faults)
        self.faulted_at.update(dict.fromkeys(faults, began))
        if names and len(faults) == len(names):
            raise_first(faults)

    def _is_due(self, name: str, settled_before: float) -> bool:
        entry = self.change_log.get(name)
        return entry is None or not entry.settled or entry.sent_at <= settled_before

    def _moving(self) -> bool:
        return any(self._is_due(name, NEVER) for name in self._watchers)

    def _forget_left(self, now: float) -> None:
        old = [name for name, at in self._left_at.items() if now - at > self._timing.linger]
        for name in old:
            self.change_log.forget(name)
            del self._left_at[name]

    def ended_parent(self, entry: Entry) -> ParentState | None:
        """Return the state of the task's job or run, if the task can never settle."""
        if entry.settled or not self._roots:
            return None
        root = self._roots.get(self._parents.root_of(entry.name))
        if root is None or not root.is_conclusive(entry.sent_at, all_settled=False):
            return None
        return root.state

    async def _find_end(self, swept_at: float) -> bool:  # noqa: ARG002  # each task has its own time
        """See `Poller`: checks the jobs and runs of tasks that have not settled."""
        unsettled = self._unsettled()
        roots = {self._parents.root_of(entry.name) for entry in unsettled}
        self._roots = {name: self._roots.get(name, ParentEnd()) for name in roots}
        for name in self._due_roots():
            await self._check(name)
        stuck = {entry.name for entry in unsettled if self.ended_parent(entry) is not None}
        new, self._stuck = stuck - self._stuck, stuck
        self._wake_for(new, all_of_them=False)
        reads = [self._next_read(entry) for entry in unsettled if entry.name not in stuck]
        self._sweep_again(min(reads, default=math.inf), pause=MIN_SECONDS)
        return False

    def _unsettled(self) -> list[Entry]:
        """Return the tasks that have not settled and whose watchers want to know about the end."""
        return [
            entry
            for name, watchers in self._watchers.items()
            if any(watcher.wants_settled for watcher in watchers)
            and (entry := self.change_log.get(name)) is not None
            and not entry.settled
        ]

    def _next_read(self, entry: Entry) -> float:
        """Return when to read the task, to find that it can never settle; inf if its root lives."""
        root = self._roots[self._parents.root_of(entry.name)]
        return root.next_read(all_settled=False)

    def _due_roots(self) -> list[str]:
        """Return the jobs and runs to be checked now: those first that were not for longest."""
        now = self._clock()
        due = [name for name, root in self._roots.items() if root.is_due(now)]
        return sorted(due, key=lambda name: self._roots[name].checked_at)[:ROOTS_PER_SWEEP]

    async def _check(self, name: str) -> None:
        root = self._roots[name]
        self._budget.spend()
        root.checked_at = self._clock()
        with suppress(TaskgateError):  # the tasks are known, and the next check is soon
            root.update(await self._parents.read(name), self._clock())

    def _wake_for(self, changed: Collection[str], *, all_of_them: bool) -> None:
        names = list(self._watchers) if all_of_them and not changed else changed
        for watcher in {each for name in names for each in self._watchers.get(name, ())}:
            watcher.wake()
