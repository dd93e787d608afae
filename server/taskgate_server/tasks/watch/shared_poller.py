"""The poller of a parent that replicas share: one of them polls AWS, all have the same change log.

A shared poller has two change logs. Sources store in `_origin` what this replica reads. Watchers
read `change_log`, which contains only changes that the store has accepted, with the revisions that
the store assigned. So all replicas have the same revisions, and a watch can resume on any of them.

    FOLLOWING   another replica polls; the changes come from the store
    LEADING     this replica has the lease: it polls, and adds its changes to the store
    ALONE       the store is unavailable: this replica polls, and assigns revisions itself

A replica that has assigned revisions itself cannot continue the line of the store. If it gets the
lease, it begins a new line with what it knows. Otherwise it adopts the state of the replica that
has the lease, once all of that is newer than what it has read itself.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.watch.change_log import ChangeLog, Entry, Revisions
from taskgate_server.tasks.watch.hints import FULL_SWEEP, READ, SWEEP, read_hint
from taskgate_server.tasks.watch.poller import NEVER, PollerContext, Subscriber
from taskgate_server.tasks.watch.replication import (
    Status,
    StoreTime,
    deserialize,
    deserialize_status,
    serialize,
    serialize_status,
)
from taskgate_server.tasks.watch.resume import EPOCH_BYTES
from taskgate_server.tasks.watch.shared_parents import (
    Change,
    Interest,
    News,
    Numbered,
    Role,
    SharedParent,
    SharedStateUnavailableError,
)
from taskgate_server.tasks.watch.shared_state_loading import load_first, merge
from taskgate_server.tasks.watch.sources import Source
from taskgate_server.tasks.watch.whole_poller import WholePoller

EXCHANGE_SECONDS: Final = 0.5
"""Interval between exchanges with the store if it reports no changes."""
FULL_SWEEP_SECONDS: Final = 1.0
"""Interval between requests for a full sweep of another replica."""
MAX_CHANGES: Final = 500
"""Changes that are added to the store at once."""


class _LeaseLostError(Exception):
    """Another replica polls the parent now."""


class SharedPoller(WholePoller):
    """All tasks of a parent that replicas share."""

    def __init__(
        self, source: Source, context: PollerContext, parent: Parent, shared: SharedParent
    ) -> None:
        self._own_epoch = secrets.token_bytes(EPOCH_BYTES)
        revisions = Revisions(self._own_epoch)
        super().__init__(source, replace(context, revisions=revisions), parent)
        self._revisions = revisions
        self._shared = shared
        self.role = Role.FOLLOWING
        """Who polls AWS."""
        self._term = 0
        """Differs after this replica began or ceased to poll."""
        self._is_decided = False
        self._epoch = b""
        """The epoch of the store that the change log is a state of; empty if of none."""
        self._fence = 0
        self._status = b""
        """The latest status of the store that was applied."""
        self._times = StoreTime()
        self._read_at = NEVER
        """When the latest request to AWS was sent that may have changed the change log."""
        self._full_swept_at = NEVER
        self._full_requested_at = NEVER
        self._end_wanted = False
        self._wakes_all = False
        self._hints: set[bytes] = set()
        self._lock = asyncio.Lock()
        """Held while the role or the change log changes."""
        self._due = asyncio.Event()
        """Set when there may be news in the store, or hints for it."""
        self._has_own_news = asyncio.Event()

    @property
    def is_joining(self) -> bool:
        """See `Poller`."""
        return not self._is_decided

    # --- Poller --------------------------------------------------------------------------------

    async def run(self) -> None:
        """See `Poller`. Releases the lease at the end."""
        unsubscribe = self._shared.subscribe(self._due.set)
        try:
            await super().run()
        finally:
            unsubscribe()
            with suppress(SharedStateUnavailableError):
                await self._exchange(Interest.NONE)
            if not self.ended:  # to be run again after a failure
                self.role = Role.FOLLOWING

    def sweep_soon(self) -> None:
        """See `Poller`."""
        if self._is_polling:
            super().sweep_soon()
        else:
            self._request(SWEEP)

    def read_now(self, names: Collection[str]) -> None:
        """See `Poller`."""
        if self._is_polling:
            super().read_now(names)
        else:
            self._request(read_hint(names))

    def attach(self, subscriber: Subscriber) -> None:
        """See `WholePoller`."""
        super().attach(subscriber)
        self._due.set()

    def detach(self, subscriber: Subscriber) -> None:
        """See `WholePoller`."""
        super().detach(subscriber)
        self._due.set()

    def _make_origin(self, context: PollerContext) -> ChangeLog:
        return ChangeLog(context.backend.task, Revisions())

    def _start(self) -> None:
        """Leave the changes of the first sweep to be published."""

    def _companions(self) -> list[Coroutine[Any, Any, None]]:
        return [*super()._companions(), self._take_part(), self._publish_news()]

    def _wants_settled(self) -> bool:
        return self._end_wanted or super()._wants_settled()

    async def _wait_until_due(self) -> None:
        while self.is_watched and not self.gone:
            if self._is_polling:
                await super()._wait_until_due()
                return
            self._awake.clear()
            await self._awake.wait()

    def _publish(self, *, everyone: bool = False) -> None:
        self._wakes_all |= everyone
        self._has_own_news.set()

    async def _sweep_once(self) -> None:
        if self.gone or not self._is_polling:
            return
        try:
            await super()._sweep_once()
        except _LeaseLostError:
            self.next_at = NEVER

    async def _sweep(self, *, full: bool) -> None:
        began, full, term = self._clock(), full or self.swept_at == NEVER, self._term
        await super()._sweep(full=full)
        # The watchers have to get the changes before they find that it is gone.
        gone, self.gone = self.gone, False
        self._read_at = began
        await self._flush()
        if term != self._term:
            raise _LeaseLostError
        if full:
            self._full_swept_at = began
        self.gone = gone
        if gone:
            self._publish(everyone=True)
            await self._flush()

    async def _read(self, names: Collection[str]) -> None:
        if not self._is_polling:
            self.read_now(names)
            return
        self._read_at = self._clock()
        await super()._read(names)

    # --- Own changes ---------------------------------------------------------------------------

    @property
    def _is_polling(self) -> bool:
        return self.role is not Role.FOLLOWING

    async def _publish_news(self) -> None:
        """Publish what is read, as it arrives."""
        while True:
            await self._has_own_news.wait()
            await self._flush()

    async def _flush(self) -> None:
        """Publish what has been read: first to the store, then to the watchers."""
        async with self._lock:
            self._has_own_news.clear()
            entries = self._own_changes()
            everyone, self._wakes_all = self._wakes_all, False
            if self.role is Role.LEADING:
                await self._add(entries, self._own_status())
            elif self.role is Role.ALONE:
                self._number(entries)
            self.change_log.trim()
            changed = self.change_log.take_changed()
            self._news_since_full |= bool(changed)
            self._wake(changed, everyone=everyone)

    def _own_changes(self) -> list[Entry]:
        """Return what this replica has read and the change log does not have, in its order."""
        names = self._origin.take_changed()
        found = (self._origin.get(name) for name in names)
        changes = [
            each for each in found if each is not None and not self.change_log.has_same(each)
        ]
        return sorted(changes, key=lambda entry: entry.revision)

    async def _add(self, entries: Sequence[Entry], status: Status) -> None:
        """Add changes to the store, then to the change log. Without the store, go on alone."""
        content = serialize_status(status, self._times)
        for start in range(0, max(len(entries), 1), MAX_CHANGES):
            some = entries[start : start + MAX_CHANGES]
            is_last = start + MAX_CHANGES >= len(entries)
            try:
                last = await self._shared.add(
                    self._fence,
                    self._epoch,
                    [self._change(entry) for entry in some],
                    content if is_last else self._status,
                )
            except SharedStateUnavailableError:
                self._go_alone()
                self._number(entries[start:])
                return
            if last is None:
                self._follow()
                self._due.set()
                return
            for index, entry in enumerate(some):
                revision = last - len(some) + 1 + index
                self.change_log.apply(self.change_log.next_change(entry, revision))
            self._revisions.latest = max(self._revisions.latest, last)
        self._status = content

    def _change(self, entry: Entry) -> Change:
        content = serialize(self.change_log.next_change(entry, 0), self._times)
        return Change(name=entry.name, removed=entry.removed, content=content)

    def _number(self, entries: Iterable[Entry]) -> None:
        """Add changes to the change log alone."""
        for entry in entries:
            if self._epoch:
                self._begin_own()
            revision = self._revisions.latest + 1
            self.change_log.apply(self.change_log.next_change(entry, revision))

    def _begin_own(self) -> None:
        """Leave the line of the store."""
        self._epoch, self._own_epoch = b"", secrets.token_bytes(EPOCH_BYTES)
        self._revisions.begin(self._own_epoch, self._revisions.latest)

    def _own_status(self) -> Status:
        return Status(
            began_at=self.began_at,
            swept_at=self.swept_at,
            full_at=self._full_swept_at,
            next_at=self.next_at if self.next_at < math.inf else self.began_at,
            failed_at=self.failed_at,
            error=self.error,
            gone=self.gone,
            has_ended=self._has_ended,
            parent=self._parent.state,
        )

    # --- Taking part ---------------------------------------------------------------------------

    async def _take_part(self) -> None:
        """Exchange news with the store until the poller ends."""
        while True:
            self._due.clear()
            async with self._lock:
                try:
                    await self._exchange_all()
                except SharedStateUnavailableError:
                    self._go_alone()
            with suppress(TimeoutError):
                async with asyncio.timeout(EXCHANGE_SECONDS):
                    await self._due.wait()

    async def _exchange_all(self) -> None:
        interest = Interest.NONE
        if self.is_watched:
            interest = Interest.END if super()._wants_settled() else Interest.CHANGES
        news = await self._exchange(interest)
        self._end_wanted = news.end_wanted
        if not news.leads:
            if self.role is not Role.FOLLOWING:
                self._follow()
            await self._adopt(news, interest)
        elif self.role is not Role.LEADING or news.fence != self._fence:
            await self._lead(news, interest)
        for hint in news.hints:
            self._serve(hint)
        hints, self._hints = self._hints, set()
        for hint in hints:
            if self._is_polling:
                self._serve(hint)
            else:
                await self._shared.request(hint)

    async def _exchange(self, interest: Interest) -> News:
        began = self._clock()
        news = await self._shared.exchange(
            wants_lease=interest is not Interest.NONE,
            interest=interest,
            epoch=self._epoch,
            revision=self._revisions.latest,
        )
        self._times = StoreTime.measured(began, news.now, self._clock())
        return news

    def _request(self, hint: bytes) -> None:
        self._hints.add(hint)
        self._due.set()

    def _serve(self, hint: bytes) -> None:
        """Do what another replica has requested."""
        kind, *names = hint.split(b"\n")
        if kind == READ:
            super().read_now([name.decode() for name in names])
            return
        if kind == FULL_SWEEP:
            self._full_at = NEVER
        super().sweep_soon()

    def _begin_polling(self, role: Role) -> None:
        """Poll from now on, beginning with a full sweep."""
        if not self._is_polling:
            self._origin.copy_from(self.change_log)
            self.next_at = NEVER
            self._term += 1
        self.role, self._full_at = role, NEVER
        self._is_decided = True
        self._awake.set()

    def _go_alone(self) -> None:
        if self.role is not Role.ALONE:
            self._begin_polling(Role.ALONE)

    def _follow(self) -> None:
        """Leave the polling to another replica; what was read and not published is dropped."""
        self.role = Role.FOLLOWING
        self._term += 1
        self._origin.take_changed()

    # --- The lease -----------------------------------------------------------------------------

    async def _lead(self, news: News, interest: Interest) -> None:
        """Take over the polling, with all that the store has if this replica can continue it."""
        self._fence = news.fence
        status = deserialize_status(news.status, self._times)
        if self._is_empty and news.epoch and not status.gone:
            await self._load()
            is_ready = bool(self._epoch)
        elif self._continues(news):
            if self._is_polling:
                self._follow()  # what the store has may be newer than what this replica has read
            is_ready = await self._catch_up(news, interest)
        else:
            is_ready = await self._reset()
        if is_ready:
            self._begin_polling(Role.LEADING)

    async def _reset(self) -> bool:
        """Begin a new line in the store with what this replica has; return whether it could."""
        epoch = secrets.token_bytes(EPOCH_BYTES)
        last = await self._shared.reset(self._fence, epoch)
        entries = sorted(self.change_log.entries(), key=lambda entry: entry.revision)
        for start in range(0, len(entries), MAX_CHANGES):
            if last is None:
                break
            changes = [
                Change(
                    name=entry.name,
                    removed=False,
                    content=serialize(replace(entry, added=entry.revision), self._times),
                )
                for entry in entries[start : start + MAX_CHANGES]
            ]
            last = await self._shared.add(self._fence, epoch, changes, b"")
        if last is None:
            return False
        self._set_line(epoch, last)
        return True

    # --- Changes of others ---------------------------------------------------------------------

    @property
    def _is_empty(self) -> bool:
        """Whether nothing was ever read or loaded."""
        return not self._epoch and self._revisions.latest == 0 and self.swept_at == NEVER

    def _continues(self, news: News) -> bool:
        """Return whether the changes of the news follow those in the change log."""
        latest = self._revisions.latest
        return (
            bool(self._epoch)
            and news.epoch == self._epoch
            and (news.horizon <= latest <= news.revision)
        )

    async def _adopt(self, news: News, interest: Interest) -> None:
        """Get the state of the replica that polls."""
        if not news.epoch:
            return
        if self._is_empty:
            await self._load()
        elif self._continues(news):
            await self._catch_up(news, interest)
        elif news.epoch == self._epoch and self._revisions.latest < news.horizon:
            await self._load()
        else:
            status = deserialize_status(news.status, self._times)
            if status.full_at >= max(self._read_at, self.began_at):
                await self._load()
            elif self._clock() - self._full_requested_at >= FULL_SWEEP_SECONDS:
                self._full_requested_at = self._clock()
                await self._shared.request(FULL_SWEEP)
        self._is_decided = True

    async def _catch_up(self, news: News, interest: Interest) -> bool:
        """Apply all changes up to the latest, then the status; return whether it could."""
        while True:
            self._apply(news.changes)
            if self._revisions.latest >= news.revision:
                break
            news = await self._exchange(interest)
            if not self._continues(news) or not news.changes:
                return False
        self._apply_status(news.status)
        return True

    def _apply(self, changes: Sequence[Numbered]) -> None:
        for revision, content in changes:
            entry = deserialize(revision, content, self._times)
            if revision > self._revisions.latest:
                # When a task was added may differ between replicas that have merged their states.
                self.change_log.apply(self.change_log.next_change(entry, revision))
                self._revisions.latest = revision
        self.change_log.trim()

    def _apply_status(self, content: bytes) -> None:
        """Adopt a status after all changes before it, and wake watchers."""
        changed, everyone = self.change_log.take_changed(), False
        if content != self._status and content:
            self._status = content
            status = deserialize_status(content, self._times)
            everyone = bool(self._waiting) or status.failed_at > self.failed_at or status.gone
            everyone |= status.has_ended != self._has_ended
            self.began_at, self.swept_at = status.began_at, max(status.swept_at, self.swept_at)
            self.next_at, self.failed_at = status.next_at, status.failed_at
            self.error, self.gone = status.error, status.gone
            self._has_ended, self._parent.state = status.has_ended, status.parent
            if self.gone:
                self._awake.set()
        self._wake(changed, everyone=everyone)

    async def _load(self) -> None:
        """Replace the change log by the state of the store; watchers get the differences."""
        state = await self._shared.load()
        if not state.epoch:
            return
        if self._is_empty:
            load_first(self.change_log, state, self._times)
            self._epoch = state.epoch
        else:
            merge(self.change_log, state, self._times)
            self._set_line(state.epoch, state.revision)
        self._is_decided = True
        self._apply_status(state.status)

    def _set_line(self, epoch: bytes, revision: int) -> None:
        """Continue with the revisions of the store."""
        self._epoch = epoch
        self._revisions.begin(epoch, max(revision, self._revisions.latest))
