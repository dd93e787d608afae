"""What the summaries of both AWS services are made of: counts by state, and moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_pb2
from taskgate_server import errors
from taskgate_server.aws import timestamps
from taskgate_server.tasks.counts import to_counts
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.states import State, all_settled, state_of

MAX_FAILED_TASKS: Final = 100


def count_words(
    words: Mapping[str, int], states: Mapping[str, State], parent: ParentState
) -> task_pb2.TaskCounts:
    """Return the counts of a parent's tasks.

    Args:
        words: the number of tasks by AWS's value for their state.
        states: the known values, and what they mean.
        parent: the state of the parent itself.
    """
    tasks = {(state_of(word or None, states), word): count for word, count in words.items()}
    settled = all_settled(state for (state, _), count in tasks.items() if count > 0)
    return to_counts(tasks, settled=parent.settles(all_settled=settled))


def moments(
    responses: Iterable[Mapping[str, Any]], members: Iterable[str], operation: str
) -> list[tuple[int, int]]:
    """All moments that the members of the answers tell, as seconds since 1970 and nanoseconds.

    Raises:
        errors.TaskgateError: UNKNOWN, one is no timestamp.
    """
    members = tuple(members)
    try:
        return [
            timestamps.to_seconds_and_nanos(response[member])
            for response in responses
            for member in members
            if response.get(member) is not None
        ]
    except (TypeError, ValueError):
        raise errors.UnreadableResponseError(operation) from None


def to_timestamp(moment: tuple[int, int] | None) -> Timestamp | None:
    """The moment as protobuf has it."""
    return None if moment is None else Timestamp(seconds=moment[0], nanos=moment[1])
