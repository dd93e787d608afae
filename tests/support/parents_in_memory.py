"""The shared state of parents in memory, for replicas on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from taskgate_server.tasks.watch.shared_parents import (
    Change,
    Interest,
    News,
    Numbered,
    SharedStateUnavailableError,
    State,
)

LEASE_SECONDS = 2.0
INTEREST_SECONDS = 3.0
MAX_CHANGES = 64
TIMEOUT_SECONDS = 0.25
PAUSE_SECONDS = 0.1


@dataclass
class Stored:
    """A parent in the store."""

    owner: str = ""
    expires: float = 0.0
    fence: int = 0
    epoch: bytes = b""
    revision: int = 0
    horizon: int = 0
    status: bytes = b""
    tasks: dict[str, Numbered] = field(default_factory=dict)
    changes: list[Numbered] = field(default_factory=list)
    hints: list[bytes] = field(default_factory=list)
    interests: dict[str, tuple[Interest, float]] = field(default_factory=dict)


class ParentStore:
    """The store itself, which several replicas use."""

    def __init__(self, random: Random, latency: float = 0.002) -> None:
        self.random = random
        self.latency = latency
        self.is_up = True
        self.cut_off: set[str] = set()
        """The replicas that cannot reach it."""
        self.paused: set[str] = set()
        """The replicas that have stopped, and go on later with what they were about to do."""
        self.parents: dict[tuple[str, bool], Stored] = {}
        self.callbacks: dict[tuple[str, Callable[[], None]], tuple[str, bool]] = {}
        self.max_changes = 1000

    def now(self) -> float:
        """Return its time, which no replica's clock has."""
        return asyncio.get_running_loop().time() + 1_700_000_000

    def restart_empty(self) -> None:
        """Forget everything."""
        self.parents = {}

    def notify(self, sender: str, key: tuple[str, bool]) -> None:
        """Call back the subscribers that can be reached."""
        if self.is_up:
            for (replica, callback), subscribed in list(self.callbacks.items()):
                if subscribed == key and replica not in {sender, *self.cut_off}:
                    callback()


class Replica:
    """The shared parents as one replica has them."""

    def __init__(self, store: ParentStore, name: str) -> None:
        self.store = store
        self.name = name

    def parent(self, name: str, *, full_view: bool) -> ParentInMemory:
        """See `SharedParents`."""
        return ParentInMemory(self.store, self.name, (name, full_view))


class ParentInMemory:
    """See `SharedParent`."""

    def __init__(self, store: ParentStore, replica: str, key: tuple[str, bool]) -> None:
        self._store = store
        self._replica = replica
        self._key = key

    async def _reach(self) -> None:
        store = self._store
        await asyncio.sleep(store.random.uniform(0, store.latency))
        while self._replica in store.paused:  # noqa: ASYNC110  # the clock is virtual
            await asyncio.sleep(PAUSE_SECONDS)
        if not store.is_up or self._replica in store.cut_off:
            await asyncio.sleep(TIMEOUT_SECONDS)
            raise SharedStateUnavailableError

    async def _respond(self) -> None:
        """Return a response, or lose it: the request was served then."""
        await self._reach()

    @property
    def _stored(self) -> Stored:
        return self._store.parents.setdefault(self._key, Stored())

    async def exchange(
        self, *, wants_lease: bool, interest: Interest, epoch: bytes, revision: int
    ) -> News:
        await self._reach()
        stored, now = self._stored, self._store.now()
        if stored.expires <= now:
            stored.owner = ""
        if wants_lease and stored.owner in {"", self._replica}:
            if not stored.owner:
                stored.fence = max(stored.fence + 1, int(now * 1e6))
            stored.owner, stored.expires = self._replica, now + LEASE_SECONDS
        elif stored.owner == self._replica:
            stored.owner = ""
            self._store.notify(self._replica, self._key)
        stored.interests[self._replica] = (interest, now)
        changes: list[Numbered] = []
        if epoch == stored.epoch and revision >= stored.horizon:
            changes = [each for each in stored.changes if each[0] > revision][:MAX_CHANGES]
        leads, hints = stored.owner == self._replica, stored.hints
        if leads:
            stored.hints = []
        news = News(
            now=now,
            leads=leads,
            fence=stored.fence,
            epoch=stored.epoch,
            revision=stored.revision,
            horizon=stored.horizon,
            status=stored.status,
            changes=changes,
            hints=hints if leads else (),
            end_wanted=any(
                each is Interest.END and now - at < INTEREST_SECONDS
                for each, at in stored.interests.values()
            ),
        )
        await self._respond()
        return news

    async def load(self) -> State:
        await self._reach()
        stored = self._stored
        state = State(
            epoch=stored.epoch,
            revision=stored.revision,
            horizon=stored.horizon,
            status=stored.status,
            tasks=list(stored.tasks.values()),
            changes=list(stored.changes),
        )
        await self._respond()
        return state

    async def add(
        self, fence: int, epoch: bytes, changes: Sequence[Change], status: bytes
    ) -> int | None:
        await self._reach()
        stored = self._stored
        if stored.fence != fence or stored.epoch != epoch:
            await self._respond()
            return None
        if changes:
            stored.revision = max(stored.revision, int(self._store.now() * 1e6))
        for change in changes:
            stored.revision += 1
            numbered = stored.revision, change.content
            stored.tasks.pop(change.name, None)
            if not change.removed:
                stored.tasks[change.name] = numbered
            stored.changes.append(numbered)
            if len(stored.changes) > self._store.max_changes:
                stored.horizon = stored.changes.pop(0)[0]
        stored.status = status
        last = stored.revision
        self._store.notify(self._replica, self._key)
        await self._respond()
        return last

    async def reset(self, fence: int, epoch: bytes) -> int | None:
        await self._reach()
        stored = self._stored
        if stored.fence != fence:
            return None
        stored.tasks, stored.changes, stored.status = {}, [], b""
        stored.epoch = epoch
        stored.horizon = stored.revision = max(stored.revision, int(self._store.now() * 1e6))
        await self._respond()
        return stored.revision

    async def request(self, hint: bytes) -> None:
        await self._reach()
        self._stored.hints.append(hint)
        self._store.notify(self._replica, self._key)
        await self._respond()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        subscription = self._replica, callback
        self._store.callbacks[subscription] = self._key
        return lambda: self._store.callbacks.pop(subscription, None) and None
