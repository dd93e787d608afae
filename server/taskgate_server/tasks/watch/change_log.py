"""The change log of a poller: the latest state of each task, ordered by the latest change.

A subscription is a revision in this order. Its next changes are the latest changes of all tasks
after that revision, so a slow subscription costs nothing and misses no final state: there is
neither a queue for each subscription nor a history.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, TypeAlias

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.names import container_of
from taskgate_server.tasks.states import SETTLED, State
from taskgate_server.tasks.watch import messages as wire

MakeTask: TypeAlias = Callable[[str, Mapping[str, Any], float], task_pb2.Task]
"""`TaskBackend.task`."""

MAX_REMOVED: Final = 2_000
"""Removed tasks that are stored. A subscription that is further behind gets a new snapshot."""

COMPACT_FROM: Final = 256

MAX_LINES: Final = 8
"""Epochs whose resume tokens are accepted."""


@dataclass(slots=True)
class _Line:
    """A sequence of revisions; the same revision of another line is another state."""

    epoch: bytes
    first: int
    last: int | None = None
    """None for the current line."""


class Revisions:
    """The revision numbers of change logs.

    One counter for all change logs of a server, so that one number is the position of a watch of
    many parents. A parent that replicas share has its own counter.

    Args:
        epoch: identifies the line of the first revisions in resume tokens.
    """

    def __init__(self, epoch: bytes = b"") -> None:
        self.latest = 0
        self._lines = [_Line(epoch, 0)]

    def next(self) -> int:
        """Return a new revision."""
        self.latest += 1
        return self.latest

    def begin(self, epoch: bytes, first: int) -> None:
        """Begin a line of later revisions, such as those of another replica.

        Args:
            epoch: identifies the line.
            first: the revision of the present state in that line.
        """
        self._lines[-1].last = self.latest
        self._lines = [*self._lines[1 - MAX_LINES :], _Line(epoch, first)]
        self.latest = max(self.latest, first)

    def epoch_at(self, revision: int) -> bytes:
        """Return the epoch of a revision."""
        lines = reversed(self._lines)
        return next((line.epoch for line in lines if line.first <= revision), b"")

    def has_epoch(self, epoch: bytes) -> bool:
        """Return whether any revision is of an epoch."""
        return any(line.epoch == epoch for line in self._lines)

    def has(self, epoch: bytes, revision: int) -> bool:
        """Return whether a revision of an epoch is one of these."""
        return any(
            line.epoch == epoch
            and line.first <= revision <= (self.latest if line.last is None else line.last)
            for line in self._lines
        )


@dataclass(slots=True, eq=False, kw_only=True)
class Entry:
    """The latest change of a task."""

    name: str
    state: State = task_pb2.TASK_STATE_UNSPECIFIED
    native_state: str = ""
    body: bytes
    """The serialized Task without `observe_time`."""
    digest: bytes = b""
    """Digest of AWS's JSON, to recognize a response without changes."""
    observe_time: float | None = None
    """When AWS sent the latest response, in seconds since 1970; None for a task that was never
    seen."""
    sent_at: float
    """When the latest request was sent, by the clock. Responses to earlier requests are ignored."""
    revision: int
    added: int
    """The revision in which the task was added."""
    previous: State = task_pb2.TASK_STATE_UNSPECIFIED
    removed: bool = False
    _change: bytes | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing happens to the task until a caller acts."""
        return self.removed or self.state in SETTLED

    def task(self) -> bytes:
        """Return the serialized Task."""
        return wire.task(self.body, self.observe_time)

    def change(self, *, known: bool) -> bytes:
        """Return the change as a serialized WatchTasksResponse.

        Args:
            known: whether the watcher has received the task before.
        """
        if not known and not self.removed and self.revision != self.added:
            # The task was added and has changed since; the watcher gets both in one change.
            kind, previous = task_watch_pb2.TASK_CHANGE_KIND_ADDED, task_pb2.TASK_STATE_UNSPECIFIED
            return wire.change(kind, self.task(), previous, self.revision)
        if self._change is None:
            kind = task_watch_pb2.TASK_CHANGE_KIND_UPDATED
            if self.removed:
                kind = task_watch_pb2.TASK_CHANGE_KIND_REMOVED
            elif self.revision == self.added:
                kind = task_watch_pb2.TASK_CHANGE_KIND_ADDED
            self._change = wire.change(kind, self.task(), self.previous, self.revision)
        return self._change


class ChangeLog:
    """The tasks that a poller has read.

    Args:
        make_task: converts AWS's response to a Task.
        revisions: numbers the changes.
        reports_missing: whether a task that was never seen is stored as removed, for watchers of
            its name.
        max_removed: the number of removed tasks that are stored.
    """

    def __init__(
        self,
        make_task: MakeTask,
        revisions: Revisions,
        *,
        reports_missing: bool = False,
        max_removed: int = MAX_REMOVED,
    ) -> None:
        self.revisions = revisions
        """Numbers the changes."""
        self._make_task = make_task
        self._revisions = revisions
        self._reports_missing = reports_missing
        self._max_removed = max_removed
        self._entries: dict[str, Entry] = {}
        self._removed: dict[str, Entry] = {}
        self._groups: dict[str, dict[str, Entry]] = {}
        self._native_states: dict[str, Counter[str]] = {}
        self._unsettled = 0
        """The number of tasks that have not settled."""
        self._order: list[Entry] = []
        self._changed: set[str] = set()
        self._fault: TaskgateError | None = None
        self.horizon = revisions.latest
        """Changes up to this revision may no longer be stored."""
        self.membership = 0
        """Differs after a task was added or removed."""

    def __len__(self) -> int:
        return len(self._entries) - len(self._removed)

    # --- Changes -------------------------------------------------------------------------------

    def upsert(
        self, name: str, response: Mapping[str, Any], sent_at: float, observe_time: float
    ) -> None:
        """Store a task as AWS has returned it.

        A response that cannot be converted is reported by `take_fault`.

        Args:
            name: of the task.
            response: AWS's JSON, with only those members that each way to read the task returns.
            sent_at: when the request was sent, by the clock; ignored if older than what is stored.
            observe_time: when AWS sent the response, in seconds since 1970.
        """
        old = self._entries.get(name)
        if old is not None and sent_at < old.sent_at:
            return
        known = None if old is None or old.removed else old
        digest = _digest(response)
        if known is not None and digest == known.digest:
            known.sent_at, known.observe_time = sent_at, observe_time
            return
        try:
            task = self._make_task(name, response, observe_time)
        except TaskgateError as error:
            self._fault = error
            return
        task.ClearField("observe_time")
        body = task.SerializeToString(deterministic=True)
        if known is not None and body == known.body:
            known.digest, known.sent_at, known.observe_time = digest, sent_at, observe_time
            return
        revision = self._revisions.next()
        entry = Entry(
            name=name,
            state=task.state,
            native_state=task.native_state,
            body=body,
            digest=digest,
            observe_time=observe_time,
            sent_at=sent_at,
            revision=revision,
            added=known.added if known is not None else revision,
            previous=known.state if known is not None else task_pb2.TASK_STATE_UNSPECIFIED,
        )
        self._put(entry, old)

    def remove(self, name: str, sent_at: float) -> None:
        """Store that AWS has no such task; arguments as of `upsert`."""
        old = self._entries.get(name)
        if old is None and not self._reports_missing:
            return
        if old is not None and (sent_at < old.sent_at or old.removed):
            old.sent_at = max(old.sent_at, sent_at)
            return
        revision = self._revisions.next()
        last = old or Entry(
            name=name,
            body=task_pb2.Task(name=name).SerializeToString(),
            sent_at=sent_at,
            revision=revision,
            added=revision,
        )
        entry = replace(
            last,
            digest=b"",
            sent_at=sent_at,
            revision=revision,
            previous=last.state,
            removed=True,
            _change=None,
        )
        self._put(entry, old)

    def apply(self, entry: Entry) -> None:
        """Store a change of another change log, with the revision that it has."""
        old = self._entries.get(entry.name)
        self._revisions.latest = max(self._revisions.latest, entry.revision)
        if old is None and entry.removed and not self._reports_missing:
            return
        self._put(entry, old)

    def next_change(self, entry: Entry, revision: int) -> Entry:
        """Return the entry of another change log as the next change of this one."""
        old = self._entries.get(entry.name)
        known = None if old is None or old.removed else old
        return replace(
            entry,
            revision=revision,
            added=known.added if known is not None else revision,
            previous=known.state if known is not None else task_pb2.TASK_STATE_UNSPECIFIED,
            _change=None,
        )

    def has_same(self, entry: Entry) -> bool:
        """Return whether an entry of another change log is no change."""
        old = self._entries.get(entry.name)
        if old is None or old.removed or entry.removed:
            return entry.removed and (old is None or old.removed)
        return old.body == entry.body

    def copy_from(self, other: ChangeLog) -> None:
        """Replace everything by the present tasks of another change log."""
        for name in list(self._entries):
            self.forget(name)
        for entry in other.entries():
            self.apply(replace(entry, revision=self._revisions.next(), _change=None))
        self._changed.clear()

    def forget(self, name: str) -> None:
        """Delete a task that has no watchers any more."""
        entry = self._entries.get(name)
        if entry is not None:
            self._count(entry, -1)
            del self._entries[name]
            self._removed.pop(name, None)

    def trim(self) -> None:
        """Delete the oldest removed tasks beyond the limit, and move the horizon."""
        while len(self._removed) > self._max_removed:
            oldest = next(iter(self._removed.values()))
            self.horizon = max(self.horizon, oldest.revision)
            self.forget(oldest.name)

    def start(self) -> None:
        """Make the present tasks the initial state: they are changes for no subscription."""
        self.horizon = self._revisions.latest
        self._changed.clear()

    # --- Queries -------------------------------------------------------------------------------

    def get(self, name: str) -> Entry | None:
        """Return the latest change of a task; None if the task is unknown."""
        return self._entries.get(name)

    def entries(self) -> Iterator[Entry]:
        """Yield all tasks that are not removed."""
        for group in self._groups.values():
            yield from group.values()

    def groups(self) -> list[str]:
        """Return the names of the direct parents of all tasks that are not removed."""
        return list(self._groups)

    def group(self, parent: str) -> Mapping[str, Entry]:
        """Return the tasks directly below a parent, by name, in the order of their addition."""
        return self._groups.get(parent, {})

    def native_states(self, parent: str) -> Mapping[str, int]:
        """Return the number of tasks directly below a parent by AWS's value for their state."""
        return self._native_states.get(parent, {})

    @property
    def latest_revision(self) -> int:
        """The revision of the latest change."""
        return self._order[-1].revision if self._order else self.horizon

    @property
    def all_settled(self) -> bool:
        """Whether all tasks have settled."""
        return not self._unsettled

    def changes_after(self, revision: int, limit: int) -> list[Entry]:
        """Return the first changes after a revision, up to a limit, in their order."""
        changes: list[Entry] = []
        if revision >= self.latest_revision:
            return changes
        start = bisect_right(self._order, revision, key=attrgetter("revision"))
        for index in range(start, len(self._order)):
            entry = self._order[index]
            if self._entries.get(entry.name) is entry:
                changes.append(entry)
                if len(changes) == limit:
                    break
        return changes

    def take_changed(self) -> set[str]:
        """Return the names of the tasks that have changed since the previous call."""
        changed, self._changed = self._changed, set()
        return changed

    def take_fault(self) -> TaskgateError | None:
        """Return why a response could not be converted since the previous call, if any."""
        fault, self._fault = self._fault, None
        return fault

    # --- Bookkeeping ---------------------------------------------------------------------------

    def _put(self, entry: Entry, old: Entry | None) -> None:
        if old is None or old.removed != entry.removed:
            self.membership += 1
        if old is not None:
            self._count(old, -1, replaced=old.removed == entry.removed)
        self._entries[entry.name] = entry
        self._removed.pop(entry.name, None)
        if entry.removed:
            self._removed[entry.name] = entry
        self._count(entry, +1)
        self._order.append(entry)
        self._changed.add(entry.name)
        if len(self._order) > 2 * len(self._entries) + COMPACT_FROM:
            self._order = [one for one in self._order if self._entries.get(one.name) is one]

    def _count(self, entry: Entry, step: int, *, replaced: bool = False) -> None:
        """Add a task to its group and to the counts, or remove it.

        A task that is replaced keeps its position in the group.
        """
        if entry.removed:
            return
        parent = container_of(entry.name)
        group = self._groups.setdefault(parent, {})
        native_states = self._native_states.setdefault(parent, Counter())
        native_states[entry.native_state] += step
        if not native_states[entry.native_state]:
            del native_states[entry.native_state]
        self._unsettled += 0 if entry.settled else step
        if step > 0:
            group[entry.name] = entry
        elif not replaced:
            del group[entry.name]
            if not group:
                del self._groups[parent], self._native_states[parent]


def _digest(response: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(repr(response).encode("utf-8", "replace"), digest_size=12).digest()
