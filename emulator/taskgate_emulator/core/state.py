"""The state of the emulated AWS account, and how it changes with time.

All state is rows in tables. A row has a kind such as `deadline.Task`, a key (the ids of its path,
outermost first) and a `Timeline`: its record and its scheduled changes. An account is its rows and
nothing else, so it can be restored from a file. `advance` applies due changes in the order of their
times over all rows and notifies listeners of each change at its own time.

An account belongs to the thread of the event loop.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from random import Random
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from taskgate_emulator.core.clock import Clock
from taskgate_emulator.core.event_sinks import EventSink, LogSink
from taskgate_emulator.core.table import Key, Record, Table
from taskgate_emulator.core.timeline import Change, Timeline

__all__ = [
    "ACCOUNT_ID",
    "BUCKET",
    "CALLER",
    "REGION",
    "Account",
    "Index",
    "Key",
    "Listener",
    "Record",
    "Table",
    "TimerHandler",
    "Transition",
]

ACCOUNT_ID = "111122223333"
REGION = "us-west-2"
BUCKET = "s3.Bucket"
"""The kind of the buckets that a seed has; S3 itself has all others."""
CALLER = f"arn:aws:iam::{ACCOUNT_ID}:user/taskgate"
"""The principal of every change, because the emulator accepts any credentials."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of one row."""

    kind: str
    key: Key
    before: Record | None
    """None when the row is new."""
    after: Record | None
    """None when the row was deleted."""
    at: datetime


Listener = Callable[["Account", Transition], None]


class Objects(Protocol):
    """The objects of S3."""

    def read_object(self, bucket: str, key: str) -> bytes | None:
        """Return an object, or None if it does not exist."""
        ...

    def write_object(self, bucket: str, key: str, content: bytes) -> bool:
        """Write an object; return False if the bucket does not exist."""
        ...


class Index(Protocol):
    """Data derived from all rows of some kinds and updated with each change."""

    def update(self, key: Key, before: Record | None, after: Record | None) -> None:
        """Apply the creation, change or deletion of a row."""
        ...


_I = TypeVar("_I", bound=Index)
TimerHandler = Callable[["Account", Key, datetime], None]
_Due = tuple[datetime, int, str, Key]


class Account:
    """One AWS account in one region, with its clock and source of randomness.

    Args:
        clock: returns the current time.
        random: generates ids.
        speed: seconds of simulated work per second of the clock.
        region: AWS's name of the region.
    """

    def __init__(
        self, *, clock: Clock, random: Random, speed: float = 1.0, region: str = REGION
    ) -> None:
        self.clock = clock
        self.region = region
        self.random = random
        self.speed = speed
        self.logs = LogSink()
        self.objects: Objects | None = None
        """S3, unless the account has no other services."""
        self.events = EventSink(ACCOUNT_ID, region)
        self.admit: Callable[[Account, str, Key], None] = lambda _account, _kind, _key: None
        """Raise if a quota does not allow another resource of a kind at a key."""
        self.admit_number: Callable[[str, int], None] = lambda _what, _number: None
        """Raise if a quota does not allow a job that many of something."""
        self._now = clock()
        self._tables: dict[str, Table] = {}
        self._numbers = count(1)
        self._order = count()
        self._due: list[_Due] = []
        self._listeners: defaultdict[str, list[tuple[Listener, bool]]] = defaultdict(list)
        self._indexes: dict[type[Any], Index] = {}
        self._indexes_of: defaultdict[str, list[Index]] = defaultdict(list)
        self._timers: dict[str, TimerHandler] = {}
        self._changed: dict[tuple[str, Key], None] = {}
        self._save: Callable[[Account], None] | None = None
        self._loading_history = False

    @property
    def now(self) -> datetime:
        """The time up to which all changes have been applied."""
        return self._now

    @property
    def next_due(self) -> datetime | None:
        """The earliest time of a scheduled change."""
        return self._due[0][0] if self._due else None

    def arn(self, service: str, path: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:aws:{service}:{self.region}:{ACCOUNT_ID}:{path}"

    def new_uuid(self) -> str:
        """Generate a UUID."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def new_hex_id(self) -> str:
        """Generate the unique part of a Deadline Cloud id."""
        return f"{self.random.getrandbits(128):032x}"

    def table(self, kind: str) -> Table:
        """Return the rows of a kind; only the account may write them."""
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = Table()
        return table

    def rows_inside(self, service: str, key: Key) -> Iterator[tuple[str, Key]]:
        """Yield kind and key of each row of a service whose key begins with a key."""
        for kind, table in list(self._tables.items()):
            if kind.startswith(f"{service}."):
                for inner in table:
                    if len(inner) > len(key) and inner[: len(key)] == key:
                        yield kind, inner

    def listen(self, kind: str, listener: Listener, *, history: bool = False) -> None:
        """Call a listener for each change of the rows of a kind.

        Args:
            kind: of the rows.
            listener: called at the simulated time of the change.
            history: also call it for changes made within `loading_history`.
        """
        self._listeners[kind].append((listener, history))

    def add_index(self, index: Index, *kinds: str) -> None:
        """Add an index of kinds that have no rows yet; indexes are updated before listeners run."""
        self._indexes[type(index)] = index
        for kind in kinds:
            self._indexes_of[kind].append(index)

    def index(self, index_class: type[_I]) -> _I:
        """Return the index of a class."""
        return cast(_I, self._indexes[index_class])

    def on_timer(self, name: str, handler: TimerHandler) -> None:
        """Set the handler of a `Change.timer`."""
        self._timers[name] = handler

    def put(self, kind: str, key: Key, record: Record, changes: tuple[Change, ...] = ()) -> None:
        """Write a row: its current record and its scheduled changes.

        Due changes of the existing row are applied first, with notifications; its other scheduled
        changes are dropped. New changes that are due already are applied by the next `advance`.
        """
        table = self.table(kind)
        row = table.row(key)
        if row is not None and row.timeline.changes:
            self._apply_due(kind, key, self._now)
            row = table.row(key)
        before = None if row is None else row.timeline.record
        if row is None:
            table.add(key, next(self._numbers), Timeline(record, changes))
        else:
            row.timeline = Timeline(record, changes)
        self._schedule(kind, key, changes)
        self._notify(kind, key, before, record, self._now)

    def apply_due(self, kind: str, key: Key) -> None:
        """Apply the due changes of a row; call it before a read-modify-write."""
        self._apply_due(kind, key, self._now)

    def update(self, kind: str, key: Key, **members: Any) -> None:
        """Change members of a row now and keep its scheduled changes.

        Raises:
            KeyError: the row does not exist.
        """
        self.apply_due(kind, key)
        timeline = self.table(kind).timeline(key)
        if timeline is None:
            raise KeyError(key)
        self.put(kind, key, {**timeline.record, **members}, timeline.changes)

    def delete(self, kind: str, key: Key) -> None:
        """Delete a row, if it exists, with its scheduled changes."""
        row = self.table(kind).remove(key)
        if row is not None:
            self._notify(kind, key, row.timeline.record, None, self._now)

    def advance(self, time: datetime) -> None:
        """Apply all changes that are due by a time; `now` never goes backwards."""
        while self._due and self._due[0][0] <= time:
            at, _, kind, key = heapq.heappop(self._due)
            self._now = max(self._now, at)
            self._apply_due(kind, key, at)
        self._now = max(self._now, time)

    def settle(self) -> None:
        """Apply all changes that are due by the clock, and save them."""
        self.advance(self.clock())
        self.save()

    def save(self) -> None:
        """Save all changes if the account has a state file."""
        if self._save is not None:
            self._save(self)

    def save_with(self, save: Callable[[Account], None]) -> None:
        """Set the function that saves the account."""
        self._save = save
        self.logs.saving = True

    @contextmanager
    def loading_history(self) -> Iterator[None]:
        """Send no events within the block, and notify only listeners that want history."""
        self._loading_history = True
        try:
            yield
        finally:
            self._loading_history = False

    def emit_event(
        self,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any],
        *,
        at: datetime,
        resources: tuple[str, ...] = (),
    ) -> None:
        """Send an event to EventBridge's default bus.

        Args:
            source: `aws.deadline` or `aws.omics`.
            detail_type: AWS's name of the event, such as `Task Run Status Change`.
            detail: JSON-compatible members.
            at: the event's time.
            resources: ARNs.
        """
        if not self._loading_history:
            self.events.send(source, detail_type, detail, at=at, resources=resources)

    def write_log(self, group: str, stream: str, timestamp: datetime, message: str) -> None:
        """Write a line to CloudWatch Logs; a new group or stream is created."""
        self.logs.write(group, stream, timestamp, message)

    def take_changed(self) -> list[tuple[str, Key]]:
        """Return, once each, the rows written or deleted since the last call."""
        changed, self._changed = list(self._changed), {}
        return changed

    def restore(self, kind: str, key: Key, number: int, timeline: Timeline) -> None:
        """Restore a saved row; rows must come in the order of their numbers."""
        self.table(kind).add(key, number, timeline)
        for index in self._indexes_of.get(kind, ()):
            index.update(key, None, timeline.record)
        self._numbers = count(number + 1)
        self._schedule(kind, key, timeline.changes)

    def _apply_due(self, kind: str, key: Key, time: datetime) -> None:
        """Apply the due changes of a row; a stale entry of the heap finds none."""
        row = self.table(kind).row(key)
        while row is not None and row.timeline.changes and row.timeline.changes[0].at <= time:
            change, *rest = row.timeline.changes
            before = row.timeline.record
            after = {**before, **change.members}
            row.timeline = Timeline(after, tuple(rest))
            self._notify(kind, key, before, after, change.at)
            if change.timer is not None:
                self._timers[change.timer](self, key, change.at)
            row = self.table(kind).row(key)

    def _schedule(self, kind: str, key: Key, changes: tuple[Change, ...]) -> None:
        for change in changes:
            heapq.heappush(self._due, (change.at, next(self._order), kind, key))

    def _notify(
        self, kind: str, key: Key, before: Record | None, after: Record | None, at: datetime
    ) -> None:
        if self._save is not None:
            self._changed[kind, key] = None
        for index in self._indexes_of.get(kind, ()):
            index.update(key, before, after)
        listeners = self._listeners.get(kind)
        if listeners is None:
            return
        transition = Transition(kind, key, before, after, at)
        for listener, history in listeners:
            if history or not self._loading_history:
                listener(self, transition)
