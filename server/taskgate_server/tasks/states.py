"""Task states: what AWS's values mean, which states are settled, and counts of tasks by state.

`SETTLED` is the server's only definition; the contract documents it at `TaskState`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeAlias

from taskgate.v1 import task_pb2

State: TypeAlias = "task_pb2.TaskState.ValueType"

SETTLED: Final = frozenset(
    {
        task_pb2.TASK_STATE_SUCCEEDED,
        task_pb2.TASK_STATE_FAILED,
        task_pb2.TASK_STATE_CANCELLED,
        task_pb2.TASK_STATE_SUSPENDED,
        task_pb2.TASK_STATE_BLOCKED,
    }
)


def state_of(value: str | None, states: Mapping[str, State]) -> State:
    """Return the shared state for a value of AWS.

    Args:
        value: the value; None if AWS sent none, which is UNSPECIFIED.
        states: the known values. Any other is UNRECOGNIZED.
    """
    if value is None:
        return task_pb2.TASK_STATE_UNSPECIFIED
    return states.get(value, task_pb2.TASK_STATE_UNRECOGNIZED)


def to_counts(tasks: Mapping[tuple[State, str], int], *, settled: bool) -> task_pb2.TaskCounts:
    """Return counts as a message of the contract.

    Args:
        tasks: the number of tasks by their state and AWS's value for it.
        settled: whether nothing changes until a caller acts.
    """
    states, native_states = Counter[State](), Counter[str]()
    for (state, native_state), count in tasks.items():
        if count > 0:
            states[state] += count
            native_states[native_state] += count
    return task_pb2.TaskCounts(
        total=states.total(),
        states=[task_pb2.StateCount(state=state, count=states[state]) for state in sorted(states)],
        native_states=native_states,
        settled=settled,
    )
