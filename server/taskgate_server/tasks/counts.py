"""How many tasks are in which state, and which states are settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from taskgate.v1 import task_pb2
from taskgate_server.tasks.backend import State

SETTLED: Final = frozenset(
    {
        task_pb2.TASK_STATE_SUCCEEDED,
        task_pb2.TASK_STATE_FAILED,
        task_pb2.TASK_STATE_CANCELLED,
        task_pb2.TASK_STATE_SUSPENDED,
        task_pb2.TASK_STATE_BLOCKED,
    }
)
"""The states in which nothing happens until somebody acts."""


def to_counts(
    tasks: Mapping[tuple[State, str], int], *, settled_if_empty: bool
) -> task_pb2.TaskCounts:
    """The counts as a message.

    Args:
        tasks: a state, with AWS's own word for it, to how many tasks are in it.
        settled_if_empty: whether a parent without tasks has settled.
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
        settled=states.keys() <= SETTLED if states else settled_if_empty,
    )
