"""One stream of WatchTasks: a position in the change log, and the responses from there on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

from taskgate.v1 import task_watch_pb2
from taskgate_server import errors
from taskgate_server.status import to_status
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.states import SETTLED, to_counts
from taskgate_server.tasks.watch import messages as wire
from taskgate_server.tasks.watch.change_log import Entry
from taskgate_server.tasks.watch.hub import Hub, View
from taskgate_server.tasks.watch.resume import ResumeToken
from taskgate_server.tasks.watch.snapshots import messages_of, oldest
from taskgate_server.tasks.watch.subscription import Subscription

Response: TypeAlias = task_watch_pb2.WatchTasksResponse
Reason: TypeAlias = task_watch_pb2.SnapshotReason
EndReason: TypeAlias = task_watch_pb2.WatchEndReason

MAX_CHANGES: Final = 64
"""Changes that a watch takes at a time. A slow reader holds these even if they are outdated."""


class Watch(Subscription):
    """A stream of WatchTasks.

    Args:
        hub: has the pollers.
        views: of the watched tasks.
        digest: of what is watched, for resume tokens.
        token: the caller's resume token; None for a new watch.
        until_settled: whether the watch ends when nothing changes until a caller acts.
        heartbeat_seconds: without a response, after which a heartbeat is sent.
        written_at: see `Subscription`.
    """

    def __init__(  # noqa: PLR0913  # independent options
        self,
        hub: Hub,
        views: Sequence[View],
        digest: bytes,
        token: ResumeToken | None,
        *,
        until_settled: bool,
        heartbeat_seconds: float,
        written_at: float,
    ) -> None:
        super().__init__(hub, views, wants_settled=until_settled, written_at=written_at)
        self._revisions = views[0].poller.change_log.revisions
        """All views have the same."""
        self._digest = digest
        self._token = token
        self._heartbeat_seconds = heartbeat_seconds
        self._position = 0
        """The revision of the last change that was sent."""
        self._complete_to = 0
        """The revision up to which all changes were sent, for the resume token. Between this and
        the position, a task may have a change that a newer one has replaced."""
        self._added: set[str] = set()
        """Tasks that were added later than that, and sent."""
        self._is_resumed = False
        """Whether the watcher may know tasks that were added later than `complete_to`."""
        self._is_complete = True
        """Whether the watcher has everything up to its position; False during a snapshot."""
        self._left_out: set[str] = set()
        self._early: dict[str, Entry] = {}
        """Rows that were sent before the snapshot was complete, by name. Reading a thousand tasks
        of HealthOmics one by one takes 100 s at its published quota."""
        self._early_observe_time: float | None = None
        """When AWS sent the oldest response among them, in seconds since 1970."""
        self._began_at = hub.clock()
        self._is_loading = False
        """Whether rows of a snapshot are being sent that is still being read."""

    async def responses(self) -> AsyncIterator[bytes]:
        """Yield serialized WatchTasksResponses until the watch ends.

        Raises:
            errors.TaskgateError: the first read failed.
        """
        with self.active():
            async with aclosing(self._loading()) as loading:
                async for response in loading:
                    yield response
            for response in self._beginning():
                yield response
            while True:
                for response in self._changes():
                    yield response
                end = self._end()
                if end is not None:
                    yield self._ended(end)
                    return
                if not await self.woken(self._heartbeat_seconds):
                    yield self._heartbeat()

    # --- The beginning -------------------------------------------------------------------------

    async def _loading(self) -> AsyncGenerator[bytes, None]:
        """Wait until the watch can begin; yield rows of a snapshot as they arrive.

        It begins with the first row: an error that comes before is the call's only response.
        """
        reason, is_decided = self._snapshot_reason(), not self._is_joining()
        seconds = self._heartbeat_seconds
        async with aclosing(self.freshening(pause=seconds)) as freshening:
            beat_at = math.inf
            async for since in freshening:
                if not is_decided:
                    reason, is_decided = self._snapshot_reason(), not self._is_joining()
                if reason is None or not is_decided:
                    continue
                rows, now = self._early_rows(since), self.hub.clock()
                if not rows and now < beat_at:
                    continue
                beat_at = now + seconds
                if not self._is_loading:
                    self._is_loading, self._is_complete = True, False
                    yield _begin(reason)
                for message in messages_of(rows):
                    yield message
                if not rows:
                    yield self._heartbeat()

    def _is_joining(self) -> bool:
        """Return whether it is unknown whether the watch can resume."""
        return self._token is not None and any(view.poller.is_joining for view in self.views)

    def _early_rows(self, since: float) -> list[Entry]:
        """Return what has arrived from requests that were sent at a time or later, as new rows."""
        rows: list[Entry] = []
        are_all = False
        while not are_all:
            some, are_all = self._next()
            for entry in some:
                self._position = entry.revision
                if not entry.removed and entry.sent_at >= since and entry.name not in self._early:
                    self._early[entry.name] = entry
                    rows.append(entry)
        self._early_observe_time = oldest(rows, self._early_observe_time)
        return rows

    def _snapshot_reason(self) -> Reason.ValueType | None:
        """Return why the watch has to begin with a snapshot; None if it can resume."""
        token = self._token
        if token is None:
            return Reason.SNAPSHOT_REASON_NEW_WATCH
        if not self._revisions.has_epoch(token.epoch):
            return Reason.SNAPSHOT_REASON_TOKEN_FROM_ELSEWHERE
        is_known = self._revisions.has(token.epoch, token.revision)
        if is_known and all(view.can_resume(token.revision) for view in self.views):
            return None
        return Reason.SNAPSHOT_REASON_TOKEN_TOO_OLD

    def _beginning(self) -> Iterator[bytes]:
        token, reason = self._token, self._snapshot_reason()
        if self._is_loading or reason is not None:
            yield from self._snapshot(reason or Reason.SNAPSHOT_REASON_NEW_WATCH)
        elif token is not None:
            self._position = self._complete_to = token.revision
            self._is_resumed = True
            yield Response(resumed=task_watch_pb2.Resumed()).SerializeToString()

    def _snapshot(self, reason: Reason.ValueType) -> Iterator[bytes]:
        """Yield a snapshot, without the rows that were sent while it was loading."""
        self._position = self._complete_to = position = self._revisions.latest
        self._added, self._is_resumed = set(), False
        has_begun, self._is_loading = self._is_loading, False
        self._is_complete, self._left_out = False, set()
        early, self._early = self._early, {}
        observed, self._early_observe_time = [self._early_observe_time], None
        later = self._absent_or_changed(early)
        snapshots = [view.snapshot().without(early) for view in self.views]
        if not has_begun:
            yield _begin(reason)
        for snapshot in snapshots:
            for message in snapshot.messages(position):
                if self.hub.stopping:
                    return
                yield message
            self._left_out |= snapshot.left_out
        end = task_watch_pb2.SnapshotEnd(
            task_count=len(early) + sum(each.count for each in snapshots)
        )
        observed += [each.observe_time for each in snapshots]
        if any(observed):
            end.observe_time.CopyFrom(to_timestamp(min(filter(None, observed))))
        last = [Response(snapshot_end=end).SerializeToString()]
        # Only the last message has a resume token.
        last += [entry.change(known=True) for entry in later]
        yield from last[:-1]
        self._is_complete = True
        yield self._with_token(last[-1])

    def _absent_or_changed(self, early: Mapping[str, Entry]) -> list[Entry]:
        """Return tasks that were named but do not exist, and rows that changed after being sent."""
        found = {each.name: each for view in self.views for each in view.entries() if each.removed}
        for view in self.views:
            for name, sent in early.items():
                entry = view.poller.change_log.get(name)
                if entry is not None and entry is not sent:
                    found[name] = entry
        return sorted(found.values(), key=lambda entry: entry.revision)

    # --- Changes -------------------------------------------------------------------------------

    def _changes(self) -> Iterator[bytes]:
        """Yield the changes after the position, which moves along."""
        while True:
            if self.hub.stopping:
                return
            if any(view.poller.change_log.horizon > self._position for view in self.views):
                yield from self._snapshot(Reason.SNAPSHOT_REASON_TOKEN_TOO_OLD)
            newest = self._revisions.latest
            some, are_all = self._next()
            for entry in some:
                change = self._change(entry)
                self._position = entry.revision
                if are_all and entry is some[-1]:
                    self._complete(newest)
                if change is not None:
                    yield self._with_token(change)
            if not some:
                self._complete(newest)
                return

    def _complete(self, revision: int) -> None:
        """Record that all changes up to a revision have been sent."""
        self._position = self._complete_to = revision
        self._added.clear()
        self._is_resumed = False

    def _change(self, entry: Entry) -> bytes | None:
        """Return a change for this watcher; None if it does not concern it."""
        known = entry.added <= self._complete_to or entry.name in self._added
        if entry.name in self._left_out:
            self._left_out.discard(entry.name)
            known = False
        if entry.removed:
            self._added.discard(entry.name)
            # A task that was added and removed between two messages needs no message.
            return entry.change(known=True) if known or self._is_resumed else None
        if not known:
            self._added.add(entry.name)
        return entry.change(known=known)

    def _next(self) -> tuple[list[Entry], bool]:
        """Return the next changes of all views, in their order, and whether there are no more."""
        found: list[Entry] = []
        are_all, last = True, self._revisions.latest
        for view in self.views:
            some = view.changes_after(self._position, MAX_CHANGES)
            if len(some) == MAX_CHANGES:  # the view may have more, after these
                are_all, last = False, min(last, some[-1].revision)
            found.extend(some)
        found.sort(key=lambda entry: entry.revision)
        return [entry for entry in found if entry.revision <= last], are_all

    # --- Heartbeats and the end -------------------------------------------------------------------

    def _heartbeat(self) -> bytes:
        now = self.hub.clock()
        checked_at = min(view.checked_at() for view in self.views)
        next_at = min(view.poller.next_at for view in self.views)
        known_at = self._began_at if self._is_loading else checked_at
        beat = task_watch_pb2.Heartbeat(
            staleness=errors.to_duration(max(now - known_at, 0.0)),
            next_poll=errors.to_duration(min(max(next_at - now, 0.0), 3600.0)),
        )
        fault = next(filter(None, (view.fault(checked_at) for view in self.views)), None)
        if fault is not None:
            beat.upstream_error.CopyFrom(to_status(fault, ""))
        return self._with_token(Response(heartbeat=beat).SerializeToString())

    def _end(self) -> EndReason.ValueType | None:
        if self.hub.stopping:
            return EndReason.WATCH_END_REASON_SERVER_STOPPING
        if all(view.gone for view in self.views):
            return EndReason.WATCH_END_REASON_GONE
        if self.wants_settled and all(view.has_settled() for view in self.views):
            return EndReason.WATCH_END_REASON_SETTLED
        return None

    def _ended(self, reason: EndReason.ValueType) -> bytes:
        tasks = Counter(
            (entry.state, entry.native_state)
            for view in self.views
            for entry in view.entries()
            if not entry.removed
        )
        settled = reason == EndReason.WATCH_END_REASON_SETTLED
        counts = to_counts(
            tasks, settled=settled or SETTLED.issuperset(state for state, _ in tasks)
        )
        end = task_watch_pb2.WatchEnd(reason=reason, counts=counts)
        parent = next(filter(None, (view.parent_state() for view in self.views)), None)
        if settled and parent is not None:
            end.parent_status.CopyFrom(parent.to_message())
        return self._with_token(Response(watch_end=end).SerializeToString())

    def _with_token(self, response: bytes) -> bytes:
        """Return the response with a resume token, if the watch can resume after it."""
        if not self._is_complete:
            return response
        epoch = self._revisions.epoch_at(self._complete_to)
        token = ResumeToken(epoch, self._digest, self._complete_to)
        return wire.with_token(response, token.to_bytes())


def _begin(reason: Reason.ValueType) -> bytes:
    begin = task_watch_pb2.SnapshotBegin(reason=reason)
    return Response(snapshot_begin=begin).SerializeToString()
