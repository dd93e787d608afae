"""Messages put together of parts that are serialized already, each part once for all who get it.

In protobuf's wire format a message is its fields one after the other, and two serialized messages
in a row are one with the fields of both: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Final

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.states import State

RESPONSE: Final = task_watch_pb2.WatchTasksResponse
LENGTH_DELIMITED: Final = 2
VARINT_PAYLOAD: Final = 0x7F


def field(number: int, payload: bytes) -> bytes:
    """One field of a message: a message in it, or a text, or bytes."""
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(payload)) + payload


def task(body: bytes, observe_time: float | None) -> bytes:
    """A Task.

    Args:
        body: the serialized task but for `observe_time`.
        observe_time: seconds since 1970; None for a task that AWS never told of.
    """
    if observe_time is None:
        return body
    observed = to_timestamp(observe_time).SerializeToString()
    return body + field(task_pb2.Task.OBSERVE_TIME_FIELD_NUMBER, observed)


def change(
    kind: task_watch_pb2.TaskChangeKind.ValueType, task: bytes, previous: State, sequence: int
) -> bytes:
    """A WatchTasksResponse with a task's change."""
    head = task_watch_pb2.TaskChange(kind=kind, previous_state=previous, sequence=sequence)
    content = head.SerializeToString() + field(task_watch_pb2.TaskChange.TASK_FIELD_NUMBER, task)
    return field(RESPONSE.TASK_CHANGE_FIELD_NUMBER, content)


def tasks(parts: bytes) -> bytes:
    """A WatchTasksResponse with tasks of a snapshot, each made by `snapshot_part`."""
    return field(RESPONSE.SNAPSHOT_TASKS_FIELD_NUMBER, parts)


def snapshot_part(task: bytes) -> bytes:
    """A task as SnapshotTasks has it."""
    return field(task_watch_pb2.SnapshotTasks.TASKS_FIELD_NUMBER, task)


def with_token(response: bytes, token: bytes) -> bytes:
    """The response with a resume token."""
    return response + field(RESPONSE.RESUME_TOKEN_FIELD_NUMBER, token)


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > VARINT_PAYLOAD:
        octets.append(number & VARINT_PAYLOAD | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
