"""Task states: what AWS's values mean, and in which states a task stays until a caller acts.

`SETTLED` is the server's only definition; the contract documents it at `TaskState`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def all_settled(states: Iterable[State]) -> bool:
    """Return whether all states are settled, also if there are none."""
    return all(state in SETTLED for state in states)


def state_of(value: str | None, states: Mapping[str, State]) -> State:
    """Return the shared state for a value of AWS.

    Args:
        value: the value; None if AWS sent none, which is UNSPECIFIED.
        states: the known values. Any other is UNRECOGNIZED.
    """
    if value is None:
        return task_pb2.TASK_STATE_UNSPECIFIED
    return states.get(value, task_pb2.TASK_STATE_UNRECOGNIZED)
