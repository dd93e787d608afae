"""Parts of a SummarizeTasksResponse that all AWS services have: counts by state, and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_pb2
from taskgate_server import errors
from taskgate_server.aws import timestamps
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.states import SETTLED, State, state_of, to_counts

MAX_FAILED_TASKS: Final = 100


def count_tasks(
    native_states: Mapping[str, int], states: Mapping[str, State], parent: ParentState
) -> task_pb2.TaskCounts:
    """Return the counts of a parent's tasks, given their number by AWS's value for their state."""
    tasks = {
        (state_of(native or None, states), native): count for native, count in native_states.items()
    }
    settled = SETTLED.issuperset(state for (state, _), count in tasks.items() if count > 0)
    return to_counts(tasks, settled=parent.settles(all_settled=settled))


def read_times(
    responses: Iterable[Mapping[str, Any]], members: Sequence[str], operation: str
) -> list[tuple[int, int]]:
    """Return all timestamps in the members of the responses, in seconds since 1970 and nanoseconds.

    Raises:
        errors.TaskgateError: UNKNOWN, one is not a timestamp.
    """
    try:
        return [
            timestamps.to_seconds_and_nanos(response[member])
            for response in responses
            for member in members
            if response.get(member) is not None
        ]
    except (TypeError, ValueError):
        raise errors.UnreadableResponseError(operation) from None


def to_timestamp(time: tuple[int, int] | None) -> Timestamp | None:
    """Return a time of `read_times` as a message."""
    return None if time is None else Timestamp(seconds=time[0], nanos=time[1])
