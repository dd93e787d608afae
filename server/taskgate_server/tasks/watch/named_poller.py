"""The poller of tasks by name: it reads those that somebody watches, and no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from taskgate_server.tasks.watch.ledger import Ledger
from taskgate_server.tasks.watch.poller import NEVER, Means, Poller, Wakes
from taskgate_server.tasks.watch.rhythm import SHORTEST_SECONDS, AtOnce
from taskgate_server.tasks.watch.sources import Faults, Source, raise_first


class NamedPoller(Poller):
    """Tasks by name; arguments as of `Poller`."""

    def __init__(self, source: Source, ledger: Ledger, means: Means) -> None:
        super().__init__(source, ledger, means)
        self._watchers: defaultdict[str, set[Wakes]] = defaultdict(set)
        self._left_at: dict[str, float] = {}
        """Names of known tasks without watchers, and since when. A task that was never read is not
        kept: callers could name millions, while AWS's quota bounds how many are read."""
        self.faults: Faults = {}
        """Why a task could not be read when it last was to be, by name."""
        self.faulted_at: dict[str, float] = {}
        """When that was."""
        self.next_at = self._clock() + SHORTEST_SECONDS  # whoever comes touches its tasks

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
                if self.ledger.get(name) is not None:
                    self._left_at[name] = self._clock()
        self._end_if_unused()

    async def _sweep(self, *, full: bool) -> None:
        began = self._clock()
        self._forget_left(began)
        settled_before = began - self._timing.settled_by_name
        names = [name for name in self._watchers if full or self._is_due(name, settled_before)]
        self._note(names, await self._source.read(self.ledger, names, self._budget), began)

    async def _read(self, names: Collection[str]) -> None:
        names = [name for name in names if name in self._watchers]
        began, pace = self._clock(), AtOnce(self._budget)
        try:
            self._note(names, await self._source.read(self.ledger, names, pace), began)
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
        entry = self.ledger.get(name)
        return entry is None or not entry.settled or entry.asked_at <= settled_before

    def _moving(self) -> bool:
        return any(self._is_due(name, NEVER) for name in self._watchers)

    def _forget_left(self, now: float) -> None:
        old = [name for name, at in self._left_at.items() if now - at > self._timing.linger]
        for name in old:
            self.ledger.forget(name)
            del self._left_at[name]

    def _wants_settled(self) -> bool:
        return False  # what its tasks are tells each watcher

    def _wake_for(self, changed: Collection[str], *, all_of_them: bool) -> None:
        names = list(self._watchers) if all_of_them and not changed else changed
        for watcher in {each for name in names for each in self._watchers.get(name, ())}:
            watcher.wake()
