"""The tasks that a poller knows, in the order of their latest changes.

A watcher is a position in that order. What it has missed is the latest change of each task after
its position, so one that is slow costs nothing and misses no end state: no queue, no history.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.states import SETTLED, State, all_settled
from taskgate_server.tasks.watch import messages as wire

MakeTask: TypeAlias = Callable[[str, Mapping[str, Any], float], task_pb2.Task]
"""`TaskBackend.task`."""

MAX_REMOVED: Final = 2_000
"""Removed tasks remembered; whoever is further behind than those gets a new snapshot."""

COMPACT_FROM: Final = 256


class Sequence:
    """Numbers for the changes of all pollers of a server.

    One count for all, so that a single number says how far a watcher of many parents has come.
    """

    def __init__(self) -> None:
        self.value = 0

    def next(self) -> int:
        """The next number."""
        self.value += 1
        return self.value


@dataclass(slots=True, eq=False, kw_only=True)
class Entry:
    """The latest change of a task."""

    name: str
    state: State
    native_state: str
    body: bytes
    """The serialized Task without its `observe_time`."""
    mark: bytes
    """A digest of AWS's JSON: equal for an answer that tells nothing new."""
    observe_time: float | None
    """When AWS gave the latest answer, in seconds since 1970; None for a task that never was."""
    sent_at: float
    """When AWS was asked for it, by the clock. An answer to an earlier question is too old."""
    sequence: int
    """The change's number."""
    added: int
    """The number of the change with which the task came."""
    previous: State = task_pb2.TASK_STATE_UNSPECIFIED
    removed: bool = False
    _change: bytes | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing happens to the task until somebody acts."""
        return self.removed or self.state in SETTLED

    def task(self) -> bytes:
        """The serialized Task."""
        return wire.task(self.body, self.observe_time)

    def change(self, *, known: bool) -> bytes:
        """The serialized WatchTasksResponse.

        Args:
            known: whether the watcher has been told of the task before.
        """
        if not known and not self.removed and self.sequence != self.added:
            # It has changed since it came, and the watcher hears of both at once.
            unspecified = task_pb2.TASK_STATE_UNSPECIFIED
            return self._serialize(task_watch_pb2.TASK_CHANGE_KIND_ADDED, unspecified)
        if self._change is None:
            self._change = self._serialize(self._kind(), self.previous)
        return self._change

    def _kind(self) -> task_watch_pb2.TaskChangeKind.ValueType:
        if self.removed:
            return task_watch_pb2.TASK_CHANGE_KIND_REMOVED
        if self.sequence == self.added:
            return task_watch_pb2.TASK_CHANGE_KIND_ADDED
        return task_watch_pb2.TASK_CHANGE_KIND_UPDATED

    def _serialize(self, kind: task_watch_pb2.TaskChangeKind.ValueType, previous: State) -> bytes:
        return wire.change(kind, self.task(), previous, self.sequence)


class ChangeLog:
    """What a poller knows.

    Args:
        make_task: a Task of AWS's answer.
        sequence: numbers the changes.
        tells_absent: whether a task that never was is told as removed, for those who named it.
        most_removed: how many removed tasks are remembered.
    """

    def __init__(
        self,
        make_task: MakeTask,
        sequence: Sequence,
        *,
        tells_absent: bool = False,
        most_removed: int = MAX_REMOVED,
    ) -> None:
        self._make_task = make_task
        self._sequence = sequence
        self._tells_absent = tells_absent
        self._most_removed = most_removed
        self._entries: dict[str, Entry] = {}
        self._removed: dict[str, Entry] = {}
        self._groups: dict[str, dict[str, Entry]] = {}
        self._natives: dict[str, Counter[str]] = {}
        self._states: Counter[State] = Counter()
        self._order: list[Entry] = []
        self._numbers: list[int] = []
        self._changed: set[str] = set()
        self.horizon = sequence.value
        """A watcher that has come less far has missed what is no longer known."""
        self.membership = 0
        """Another number after a task came or went."""
        self.tell: Callable[[], None] = _nothing
        """What a source calls after each answer of AWS's, so that news need not wait."""
        self.fault: TaskgateError | None = None
        """Why a task could not be read, since this was last set to None."""

    def __len__(self) -> int:
        return len(self._entries) - len(self._removed)

    # --- What AWS said -------------------------------------------------------------------------

    def see(
        self, name: str, response: Mapping[str, Any], sent_at: float, observe_time: float
    ) -> None:
        """AWS has told of a task.

        Args:
            name: the task's.
            response: AWS's JSON, with no members but those that each way to read the task has.
            sent_at: when AWS was asked, by the clock; older than what is known, it is ignored.
            observe_time: when AWS answered, in seconds since 1970.
        """
        old = self._entries.get(name)
        if old is not None and sent_at < old.sent_at:
            return
        mark = _digest(response)
        if old is not None and not old.removed and mark == old.mark:
            old.sent_at, old.observe_time = sent_at, observe_time
            return
        try:
            task = self._make_task(name, response, observe_time)
        except TaskgateError as error:
            self.fault = error  # the others are told nevertheless
            return
        task.ClearField("observe_time")
        body = task.SerializeToString(deterministic=True)
        if old is not None and not old.removed and body == old.body:
            old.mark, old.sent_at, old.observe_time = mark, sent_at, observe_time
            return
        number = self._sequence.next()
        known = old is not None and not old.removed
        entry = Entry(
            name=name,
            state=task.state,
            native_state=task.native_state,
            body=body,
            mark=mark,
            observe_time=observe_time,
            sent_at=sent_at,
            sequence=number,
            added=old.added if old is not None and known else number,
            previous=old.state if old is not None and known else task_pb2.TASK_STATE_UNSPECIFIED,
        )
        self._put(entry, old)

    def lose(self, name: str, sent_at: float) -> None:
        """AWS has said that it has no such task; arguments as of `see`."""
        old = self._entries.get(name)
        if old is None and not self._tells_absent:
            return
        if old is not None and (sent_at < old.sent_at or old.removed):
            old.sent_at = max(old.sent_at, sent_at)
            return
        number = self._sequence.next()
        unknown = task_pb2.Task(name=name).SerializeToString()
        entry = Entry(
            name=name,
            state=old.state if old else task_pb2.TASK_STATE_UNSPECIFIED,
            native_state=old.native_state if old else "",
            body=old.body if old else unknown,
            mark=b"",
            observe_time=old.observe_time if old else None,
            sent_at=sent_at,
            sequence=number,
            added=old.added if old else number,
            previous=old.state if old else task_pb2.TASK_STATE_UNSPECIFIED,
            removed=True,
        )
        self._put(entry, old)

    def forget(self, name: str) -> None:
        """Nobody is told of the task any more."""
        entry = self._entries.get(name)
        if entry is not None:
            self._count(entry, -1)
            del self._entries[name]
            self._removed.pop(name, None)

    def trim(self) -> None:
        """Forgets the oldest removed tasks where they are too many, and moves the horizon."""
        while len(self._removed) > self._most_removed:
            oldest = next(iter(self._removed.values()))
            self.horizon = max(self.horizon, oldest.sequence)
            self.forget(oldest.name)

    def begin(self) -> None:
        """All that is known so far is the beginning: nobody has missed any of it as a change."""
        self.horizon = self._sequence.value
        self._changed.clear()

    # --- What is known -------------------------------------------------------------------------

    def get(self, name: str) -> Entry | None:
        """The task's latest change; None if nothing is known of such a task."""
        return self._entries.get(name)

    def entries(self) -> Iterator[Entry]:
        """All tasks that are there."""
        for group in self._groups.values():
            yield from group.values()

    def groups(self) -> list[str]:
        """The names of all parents of tasks that are there."""
        return list(self._groups)

    def group(self, parent: str) -> Mapping[str, Entry]:
        """The tasks right below a parent, by name, in the order in which they came."""
        return self._groups.get(parent, {})

    def natives(self, parent: str) -> Mapping[str, int]:
        """How many tasks right below a parent are in which state, by AWS's own words."""
        return self._natives.get(parent, {})

    @property
    def latest(self) -> int:
        """The number of the latest change."""
        return self._numbers[-1] if self._numbers else self.horizon

    @property
    def all_settled(self) -> bool:
        """Whether no task is there that something can happen to by itself."""
        return all_settled(self._states)

    def since(self, position: int, limit: int, names: Iterable[str] | None = None) -> list[Entry]:
        """The oldest of the latest changes after a position, `limit` at most, in their order.

        Args:
            position: as far as the watcher has come.
            limit: the most to give.
            names: of the tasks that matter; all if None.
        """
        if names is not None:
            known = (self._entries.get(name) for name in names)
            later = [entry for entry in known if entry is not None and entry.sequence > position]
            return sorted(later, key=lambda entry: entry.sequence)[:limit]
        found: list[Entry] = []
        for index in range(bisect_right(self._numbers, position), len(self._order)):
            entry = self._order[index]
            if self._entries.get(entry.name) is entry:
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def take_changed(self) -> set[str]:
        """The names of the tasks that changed since this was last asked."""
        changed, self._changed = self._changed, set()
        return changed

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
        self._numbers.append(entry.sequence)
        self._changed.add(entry.name)
        if len(self._order) > 2 * len(self._entries) + COMPACT_FROM:
            self._order = [one for one in self._order if self._entries.get(one.name) is one]
            self._numbers = [one.sequence for one in self._order]

    def _count(self, entry: Entry, step: int, *, replaced: bool = False) -> None:
        """Counts a task that is there in or out; one that is `replaced` keeps its place."""
        if entry.removed:
            return
        parent = entry.name.rpartition("/tasks/")[0]
        group = self._groups.setdefault(parent, {})
        natives = self._natives.setdefault(parent, Counter())
        _add(natives, entry.native_state, step)
        _add(self._states, entry.state, step)
        if step > 0:
            group[entry.name] = entry
        elif not replaced:
            del group[entry.name]
            if not group:
                del self._groups[parent], self._natives[parent]


def _nothing() -> None:
    """Nobody wants to know."""


def _add(counter: Counter[Any], key: object, step: int) -> None:
    """Without keys that nothing is left of."""
    counter[key] += step
    if not counter[key]:
        del counter[key]


def _digest(response: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(repr(response).encode("utf-8", "replace"), digest_size=12).digest()
