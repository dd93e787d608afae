"""What the emulated AWS account holds, and how its time goes by.

Everything is a row of a table: a kind such as `deadline.Task`, a key (the ids of the path, the
outermost first) and a `Timeline`. The future is in the rows too, so an account is its rows and
nothing else, and continues from a file. `advance` applies what is due, in the order of its moments
over all rows, and tells the listeners of each change at its own moment, not when somebody looks.

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

from taskgate_emulator.core.clock import Clock
from taskgate_emulator.core.event_sinks import EventSink, LogSink
from taskgate_emulator.core.table import Key, Record, Table
from taskgate_emulator.core.timeline import Change, Timeline

__all__ = [
    "ACCOUNT_ID",
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
CALLER = f"arn:aws:iam::{ACCOUNT_ID}:user/taskgate"
"""Who makes every change: the emulator takes any credentials."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A row that changed."""

    kind: str
    key: Key
    before: Record | None
    """None when the row is new."""
    after: Record | None
    """None when the row is gone."""
    at: datetime


Listener = Callable[["Account", Transition], None]


class Index(Protocol):
    """What is known of the rows of a kind together, kept up to date with each change of one."""

    def update(self, key: Key, before: Record | None, after: Record | None) -> None:
        """Learn of a row that came, changed or went."""
        ...


_I = TypeVar("_I", bound=Index)
TimerHandler = Callable[["Account", Key, datetime], None]
_Due = tuple[datetime, int, str, Key]


class Account:
    """One AWS account in one region, and the time and chance that govern it.

    Args:
        clock: what time it is.
        random: makes ids.
        speed: how many seconds of work are done in one second of the clock.
    """

    def __init__(self, *, clock: Clock, random: Random, speed: float = 1.0) -> None:
        self.clock = clock
        self.random = random
        self.speed = speed
        self.logs = LogSink()
        self.events = EventSink(ACCOUNT_ID, REGION)
        self.admit: Callable[[Account, str, Key], None] = lambda _account, _kind, _key: None
        """Raises when a quota lets no further resource of a kind be made at a key."""
        self.admit_number: Callable[[str, int], None] = lambda _what, _number: None
        """Raises when a quota lets a job have no such number of something."""
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
        """The moment up to which everything has happened."""
        return self._now

    @property
    def next_due(self) -> datetime | None:
        """When something changes by itself next, at the earliest."""
        return self._due[0][0] if self._due else None

    def table(self, kind: str) -> Table:
        """The rows of a kind; it may be read freely, and is written by the account only."""
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = Table(kind)
        return table

    @property
    def kinds(self) -> list[str]:
        """The kinds that have had a row."""
        return list(self._tables)

    def listen(self, kind: str, listener: Listener, *, history: bool = False) -> None:
        """Be told of each change of the rows of a kind; of history as well, if asked for."""
        self._listeners[kind].append((listener, history))

    def add_index(self, kind: str, index: Index) -> None:
        """Keep an index of a kind that has no rows yet; it hears of everything, first of all."""
        self._indexes[type(index)] = index
        self._indexes_of[kind].append(index)

    def index(self, which: type[_I]) -> _I:
        """The index of a class."""
        return cast(_I, self._indexes[which])

    def on_timer(self, name: str, timer: TimerHandler) -> None:
        """Say what a `Change.wake` of this name calls."""
        self._timers[name] = timer

    def put(self, kind: str, key: Key, record: Record, changes: tuple[Change, ...] = ()) -> None:
        """Write a row: its record as of now, and what will come to it.

        What is due of the row's earlier future happens first, and its listeners hear of it; the
        rest of that future is dropped. Changes that are due already happen at the next `advance`.
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
        """Let happen what is due of a row by now, before somebody reads it to write it."""
        self._apply_due(kind, key, self._now)

    def update(self, kind: str, key: Key, **members: Any) -> None:
        """Change members of a row now, and leave its future as it is.

        Raises:
            KeyError: there is no such row.
        """
        self.apply_due(kind, key)
        timeline = self.table(kind).timeline(key)
        if timeline is None:
            raise KeyError(key)
        self.put(kind, key, {**timeline.record, **members}, timeline.changes)

    def delete(self, kind: str, key: Key) -> None:
        """Remove a row, with its future; nothing happens when there is none."""
        row = self.table(kind).remove(key)
        if row is not None:
            self._notify(kind, key, row.timeline.record, None, self._now)

    def advance(self, moment: datetime) -> None:
        """Let everything happen that is due by a moment. Time never goes backwards."""
        while self._due and self._due[0][0] <= moment:
            at, _, kind, key = heapq.heappop(self._due)
            self._now = max(self._now, at)
            self._apply_due(kind, key, at)
        self._now = max(self._now, moment)

    def settle(self) -> None:
        """Let happen what is due by the clock, and save it if the account is kept in a file."""
        self.advance(self.clock())
        self.save()

    def save(self) -> None:
        """Keep what has changed, if the account is kept in a file."""
        if self._save is not None:
            self._save(self)

    def save_with(self, save: Callable[[Account], None]) -> None:
        """Say how the account is kept, from now on."""
        self._save = save
        self.logs.saving = True

    @contextmanager
    def loading_history(self) -> Iterator[None]:
        """What happens in the block is history, older than the account: few listen to that."""
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
            detail_type: AWS's own words, such as `Task Run Status Change`.
            detail: what JSON can hold.
            at: the event's time.
            resources: ARNs.
        """
        if not self._loading_history:
            self.events.send(source, detail_type, detail, at=at, resources=resources)

    def write_log(self, group: str, stream: str, timestamp: datetime, message: str) -> None:
        """Put a line into CloudWatch Logs; group and stream come into being with their first."""
        self.logs.write(group, stream, timestamp, message)

    def take_changed(self) -> list[tuple[str, Key]]:
        """The rows written or removed since this was last asked, each once."""
        changed, self._changed = list(self._changed), {}
        return changed

    def restore(self, kind: str, key: Key, number: int, timeline: Timeline) -> None:
        """Put back a row as it was kept; rows come in the order of their numbers."""
        self.table(kind).add(key, number, timeline)
        for index in self._indexes_of.get(kind, ()):
            index.update(key, None, timeline.record)
        self._numbers = count(number + 1)
        for change in timeline.changes:
            heapq.heappush(self._due, (change.at, next(self._order), kind, key))

    def _apply_due(self, kind: str, key: Key, moment: datetime) -> None:
        """Apply the changes of a row that are due; stale entries of the heap find none."""
        row = self.table(kind).row(key)
        while row is not None and row.timeline.changes and row.timeline.changes[0].at <= moment:
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
