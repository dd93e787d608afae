"""How many tasks are in which state, of those that a watch knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from taskgate.v1 import task_pb2
from taskgate_server.tasks.watch.ledger import Entry


def count(entries: Iterable[Entry]) -> task_pb2.TaskCounts:
    """The counts of tasks that are there."""
    there = [entry for entry in entries if not entry.removed]
    states = Counter(entry.state for entry in there)
    return task_pb2.TaskCounts(
        total=len(there),
        states=[task_pb2.StateCount(state=state, count=states[state]) for state in sorted(states)],
        native_states=Counter(entry.native_state for entry in there),
        settled=all(entry.settled for entry in there),
    )
