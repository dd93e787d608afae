"""The poller of tasks by name, which reads only tasks that are watched, and the view of a watch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Final

from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.parent_end import ParentEnd
from taskgate_server.tasks.watch.poll_interval import MIN_SECONDS
from taskgate_server.tasks.watch.poller import NEVER, Poller, PollerContext, Subscriber
from taskgate_server.tasks.watch.snapshots import Snapshot
from taskgate_server.tasks.watch.sources import Poll, Source, raise_first

SETTLED_SECONDS: Final = 30.0
"""The interval between reads of a named task that has settled."""

ROOTS_PER_SWEEP: Final = 2
"""How many jobs and runs are checked after a sweep, which delays the next one."""


class NamedPoller(Poller):
    """Tasks by name."""

    def __init__(self, source: Source, context: PollerContext) -> None:
        super().__init__(source, context, reports_missing=True)
        self._roots: dict[str, ParentEnd] = {}
        """Jobs and runs of watched tasks that have not settled, by name."""
        self._stuck: set[str] = set()
        """Tasks that can never settle, as their watchers know."""
        self._subscribers: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._left_at: dict[str, float] = {}
        """Names of tasks without watchers, and since when. A task that was never read is not
        stored: callers could name millions, while AWS's quota limits how many are read."""
        self.faults: dict[str, tuple[float, TaskgateError]] = {}
        """When the latest attempt to read a task began and why it failed, by name."""
        self.next_at = self._clock() + MIN_SECONDS  # a new watcher requests its tasks itself

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
                if self.change_log.get(name) is not None:
                    self._left_at[name] = self._clock()
        self._end_if_unused()

    async def _sweep(self, *, full: bool) -> None:
        began = self._clock()
        self._forget_left(began)
        settled_before = began - SETTLED_SECONDS
        names = [name for name in self._subscribers if full or self._is_due(name, settled_before)]
        await self._read_names(names, self._poll)

    async def _read(self, names: Collection[str]) -> None:
        names = [name for name in names if name in self._subscribers]
        try:
            await self._read_names(names, self._urgent_poll)
        finally:
            self._wake(names, everyone=False)

    async def _read_names(self, names: Collection[str], poll: Poll) -> None:
        """Read tasks, and store why some could not be read.

        Raises:
            TaskgateError: no task could be read, so that the poller has failed.
        """
        began = self._clock()
        faults = await self._source.read(poll, names)
        for name in names:
            self.faults.pop(name, None)
        self.faults.update((name, (began, error)) for name, error in faults.items())
        if names and len(faults) == len(names):
            raise_first(faults)

    def _is_due(self, name: str, settled_before: float) -> bool:
        entry = self.change_log.get(name)
        return entry is None or not entry.settled or entry.sent_at <= settled_before

    def _has_unsettled(self) -> bool:
        return any(self._is_due(name, NEVER) for name in self._subscribers)

    def _forget_left(self, now: float) -> None:
        old = [name for name, at in self._left_at.items() if now - at > self._context.linger]
        for name in old:
            self.change_log.forget(name)
            del self._left_at[name]

    def ended_parent(self, entry: Entry) -> ParentState | None:
        """Return the state of the task's job or run, if the task can never settle."""
        if entry.settled or not self._roots:
            return None
        root = self._root_of(entry)
        if root is None or entry.sent_at < root.conclusive_from(all_settled=False):
            return None
        return root.state

    async def _find_end(self, swept_at: float) -> None:  # noqa: ARG002  # each task has its own time
        """See `Poller`: checks the jobs and runs of tasks that have not settled."""
        unsettled = self._unsettled()
        roots = {self._root_name(entry) for entry in unsettled}
        self._roots = {
            name: self._roots.get(name) or self._new_root(name) for name in roots if name
        }
        due = [root for root in self._roots.values() if root.is_due()]
        for root in sorted(due, key=lambda root: root.checked_at)[:ROOTS_PER_SWEEP]:
            await root.check()
        stuck = {entry.name for entry in unsettled if self.ended_parent(entry) is not None}
        new, self._stuck = stuck - self._stuck, stuck
        self._wake(new, everyone=False)
        # Tasks are read again after the end of their root, to find that they can never settle.
        reads = [
            parent.conclusive_from(all_settled=False)
            for entry in unsettled
            if entry.name not in stuck and (parent := self._root_of(entry)) is not None
        ]
        self._sweep_again(min(reads, default=math.inf), pause=MIN_SECONDS)

    def _unsettled(self) -> list[Entry]:
        """Return the tasks that have not settled and whose watchers want to know about the end."""
        return [
            entry
            for name, subscribers in self._subscribers.items()
            if any(subscriber.wants_settled for subscriber in subscribers)
            and (entry := self.change_log.get(name)) is not None
            and not entry.settled
        ]

    def _new_root(self, name: str) -> ParentEnd:
        parent = self._context.backend.names.parse_parent(name, "name")
        return ParentEnd(parent, self._context)

    def _root_of(self, entry: Entry) -> ParentEnd | None:
        return self._roots.get(self._root_name(entry))

    def _root_name(self, entry: Entry) -> str:
        """Return the name of the job or run of a task; empty if it is in none."""
        backend = self._context.backend
        return backend.names.parents_of(entry.name).get(backend.root_kind, "")

    def _wake(self, changed: Collection[str], *, everyone: bool) -> None:
        names = list(self._subscribers) if everyone and not changed else changed
        for subscriber in {each for name in names for each in self._subscribers.get(name, ())}:
            subscriber.wake()


class NamedTasks:
    """The view of tasks by name, which are distinct."""

    def __init__(self, poller: NamedPoller, names: Collection[str]) -> None:
        self.poller: NamedPoller = poller
        self._names = tuple(names)
        self._change_log = poller.change_log

    def attach(self, subscriber: Subscriber) -> None:
        """See `WholePoller`."""
        self.poller.attach(subscriber, self._names)

    def detach(self, subscriber: Subscriber) -> None:
        """See `WholePoller`."""
        self.poller.detach(subscriber, self._names)

    def refresh(self, since: float) -> None:
        """See `WholePoller`."""
        self.poller.read_now([name for name in self._names if self._requested_at(name) < since])

    def fault(self, since: float) -> TaskgateError | None:
        """See `WholePoller`."""
        for name in self._names:
            faulted_at, fault = self.poller.faults.get(name, (NEVER, None))
            if fault is not None and faulted_at >= since:
                return fault
        # The latest attempt concerned these names only if they were part of it.
        unknown = any(self._change_log.get(name) is None for name in self._names)
        return self.poller.error if unknown and self.poller.failed_at >= since else None

    def checked_at(self) -> float:
        """See `WholePoller`."""
        return min(self._requested_at(name) for name in self._names)

    def snapshot(self) -> Snapshot:
        """See `WholePoller`."""
        return Snapshot(self._change_log, self._names)

    def entries(self) -> Iterator[Entry]:
        """See `WholePoller`."""
        for name in self._names:
            entry = self._change_log.get(name)
            if entry is not None:
                yield entry

    def changes_after(self, revision: int, limit: int) -> list[Entry]:
        """See `WholePoller`."""
        later = [entry for entry in self.entries() if entry.revision > revision]
        return sorted(later, key=lambda entry: entry.revision)[:limit]

    def can_resume(self, revision: int) -> bool:
        """See `WholePoller`. A task that was forgotten meanwhile was added after the revision."""
        return all(
            (entry := self._change_log.get(name)) is not None and entry.added <= revision
            for name in self._names
        )

    def has_settled(self) -> bool:
        """See `WholePoller`."""
        return all(
            entry.settled or self.poller.ended_parent(entry) is not None for entry in self.entries()
        )

    def parent_state(self) -> ParentState | None:
        """See `WholePoller`: that of the first task that can never settle."""
        return next(filter(None, map(self.poller.ended_parent, self.entries())), None)

    @property
    def gone(self) -> bool:
        """See `WholePoller`."""
        return all(entry.removed for entry in self.entries())

    def _requested_at(self, name: str) -> float:
        entry = self._change_log.get(name)
        return NEVER if entry is None else entry.sent_at
