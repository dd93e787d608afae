"""The poller of tasks by name, which reads only tasks that are watched."""

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
from taskgate_server.tasks.watch.poll_interval import MIN_SECONDS, Immediate
from taskgate_server.tasks.watch.poller import NEVER, Poller, PollerContext, Subscriber
from taskgate_server.tasks.watch.sources import Faults, Source, raise_first

ROOTS_PER_SWEEP: Final = 2
"""How many jobs and runs are checked after a sweep, which delays the next one."""


class NamedPoller(Poller):
    """Tasks by name.

    Args:
        source: see `Poller`.
        change_log: see `Poller`.
        context: see `Poller`.
        parents: reads the states of the tasks' jobs or runs.
    """

    def __init__(
        self, source: Source, change_log: ChangeLog, context: PollerContext, parents: Parents
    ) -> None:
        super().__init__(source, change_log, context)
        self._parents = parents
        self._roots: dict[str, ParentEnd] = {}
        """Jobs and runs of watched tasks that have not settled, by name."""
        self._stuck: set[str] = set()
        """Tasks that can never settle, as their watchers know."""
        self._subscribers: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._left_at: dict[str, float] = {}
        """Names of tasks without watchers, and since when. A task that was never read is not
        stored: callers could name millions, while AWS's quota limits how many are read."""
        self.faults: Faults = {}
        """Why a task could not be read at the latest attempt, by name."""
        self.faulted_at: dict[str, float] = {}
        """When that attempt began."""
        self.next_at = self._clock() + MIN_SECONDS  # a new watcher requests its tasks itself

    @property
    def is_watched(self) -> bool:
        """See `Poller`."""
        return bool(self._subscribers)

    @property
    def is_loaded(self) -> bool:
        """See `Poller`."""
        return bool(self._left_at)

    def watches(self, name: str) -> bool:
        """Return whether a task is watched."""
        return name in self._subscribers

    def attach(self, subscriber: Subscriber, names: Collection[str]) -> None:
        """Wake a subscriber for each change of these tasks."""
        for name in names:
            self._subscribers[name].add(subscriber)
            self._left_at.pop(name, None)
        self._awake.set()

    def detach(self, subscriber: Subscriber, names: Collection[str]) -> None:
        """Stop waking a subscriber."""
        for name in names:
            subscribers = self._subscribers[name]
            subscribers.discard(subscriber)
            if not subscribers:
                del self._subscribers[name]
                self.faults.pop(name, None)
                self.faulted_at.pop(name, None)
                if self.change_log.get(name) is not None:
                    self._left_at[name] = self._clock()
        self._end_if_unused()

    async def _sweep(self, *, full: bool) -> None:
        began = self._clock()
        self._forget_left(began)
        settled_before = began - self._timing.settled_by_name
        names = [name for name in self._subscribers if full or self._is_due(name, settled_before)]
        self._store_faults(names, await self._source.read(self._poll, names), began)

    async def _read(self, names: Collection[str]) -> None:
        names = [name for name in names if name in self._subscribers]
        began, poll = self._clock(), self._poll.with_pace(Immediate(self._budget))
        try:
            self._store_faults(names, await self._source.read(poll, names), began)
        finally:
            self._wake(names, everyone=False)

    def _store_faults(self, names: Collection[str], faults: Faults, began: float) -> None:
        """Store why tasks could not be read; if none could, the poller has failed.

        Raises:
            TaskgateError: no task could be read.
        """
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

    def _has_unsettled(self) -> bool:
        return any(self._is_due(name, NEVER) for name in self._subscribers)

    def _forget_left(self, now: float) -> None:
        old = [name for name, at in self._left_at.items() if now - at > self._timing.linger]
        for name in old:
            self.change_log.forget(name)
            del self._left_at[name]

    def ended_parent(self, entry: Entry) -> ParentState | None:
        """Return the state of the task's job or run, if the task can never settle."""
        if entry.settled or not self._roots:
            return None
        root = self._root_of(entry)
        if root is None or not root.is_conclusive(entry.sent_at, all_settled=False):
            return None
        return root.state

    async def _find_end(self, swept_at: float) -> bool:  # noqa: ARG002  # each task has its own time
        """See `Poller`: checks the jobs and runs of tasks that have not settled."""
        unsettled = self._unsettled()
        roots = {self._parents.root_of(entry.name) for entry in unsettled}
        self._roots = {name: self._roots.get(name, ParentEnd()) for name in roots if name}
        for name in self._due_roots():
            await self._check(name)
        stuck = {entry.name for entry in unsettled if self.ended_parent(entry) is not None}
        new, self._stuck = stuck - self._stuck, stuck
        self._wake(new, everyone=False)
        reads = [self._next_read(entry) for entry in unsettled if entry.name not in stuck]
        self._sweep_again(min(reads, default=math.inf), pause=MIN_SECONDS)
        return False

    def _unsettled(self) -> list[Entry]:
        """Return the tasks that have not settled and whose watchers want to know about the end."""
        return [
            entry
            for name, subscribers in self._subscribers.items()
            if any(subscriber.wants_settled for subscriber in subscribers)
            and (entry := self.change_log.get(name)) is not None
            and not entry.settled
        ]

    def _next_read(self, entry: Entry) -> float:
        """Return when to read the task, to find that it can never settle; inf if its root lives."""
        root = self._root_of(entry)
        return math.inf if root is None else root.next_read(all_settled=False)

    def _root_of(self, entry: Entry) -> ParentEnd | None:
        return self._roots.get(self._parents.root_of(entry.name) or "")

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

    def _wake(self, changed: Collection[str], *, everyone: bool) -> None:
        names = list(self._subscribers) if everyone and not changed else changed
        for subscriber in {each for name in names for each in self._subscribers.get(name, ())}:
            subscriber.wake()
