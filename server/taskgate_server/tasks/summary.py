"""What the summaries of both AWS services are made of: counts by state, and moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_pb2
from taskgate_server import errors
from taskgate_server.aws import timestamps
from taskgate_server.tasks.backend import State, state_of

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

MOST_FAILED_TASKS: Final = 100


def count_words(
    words: Mapping[str, int], states: Mapping[str, State], *, settled_if_empty: bool
) -> task_pb2.TaskCounts:
    """The counts of a parent's tasks.

    Args:
        words: AWS's word for a state to how many tasks have it.
        states: AWS's words, those that are known, and their states.
        settled_if_empty: whether the parent itself has settled.
    """
    present = {word: count for word, count in words.items() if count > 0}
    by_state: dict[State, int] = {}
    for word, count in present.items():
        state = state_of(word or None, states)
        by_state[state] = by_state.get(state, 0) + count
    return task_pb2.TaskCounts(
        total=sum(present.values()),
        states=[
            task_pb2.StateCount(state=state, count=count)
            for state, count in sorted(by_state.items())
        ],
        native_states=present,
        settled=by_state.keys() <= SETTLED if by_state else settled_if_empty,
    )


def moments(
    answers: Iterable[Mapping[str, Any]], members: Iterable[str], operation: str
) -> list[tuple[int, int]]:
    """All moments that the members of the answers tell, as seconds since 1970 and nanoseconds.

    Raises:
        errors.TaskgateError: UNKNOWN, one is no timestamp.
    """
    members = tuple(members)
    try:
        return [
            timestamps.to_seconds_and_nanos(answer[member])
            for answer in answers
            for member in members
            if answer.get(member) is not None
        ]
    except (TypeError, ValueError):
        raise errors.unreadable_answer(operation) from None


def to_timestamp(moment: tuple[int, int] | None) -> Timestamp | None:
    """The moment as protobuf has it."""
    return None if moment is None else Timestamp(seconds=moment[0], nanos=moment[1])
