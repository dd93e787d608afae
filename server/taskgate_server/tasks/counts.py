"""How many tasks are in which state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from taskgate.v1 import task_pb2
from taskgate_server.tasks.states import State


def to_counts(tasks: Mapping[tuple[State, str], int], *, settled: bool) -> task_pb2.TaskCounts:
    """Return counts as a message of the contract.

    Args:
        tasks: the number of tasks by their state and AWS's value for it.
        settled: whether nothing changes until a caller acts.
    """
    states, words = Counter[State](), Counter[str]()
    for (state, word), count in tasks.items():
        if count > 0:
            states[state] += count
            words[word] += count
    return task_pb2.TaskCounts(
        total=states.total(),
        states=[task_pb2.StateCount(state=state, count=states[state]) for state in sorted(states)],
        native_states=words,
        settled=settled,
    )
