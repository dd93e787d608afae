"""Composes watch messages from parts that are serialized once for all who receive them.

In protobuf's wire format a message is the sequence of its fields, and the concatenation of two
serialized messages is one message with the fields of both:
https://protobuf.dev/programming-guides/encoding/
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
    """Serialize a field whose type is a message, a text or bytes."""
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(payload)) + payload


def task(body: bytes, observe_time: float | None) -> bytes:
    """Serialize a Task.

    Args:
        body: the serialized task without `observe_time`.
        observe_time: seconds since 1970; None for a task that AWS never returned.
    """
    if observe_time is None:
        return body
    observed = to_timestamp(observe_time).SerializeToString()
    return body + field(task_pb2.Task.OBSERVE_TIME_FIELD_NUMBER, observed)


def change(
    kind: task_watch_pb2.TaskChangeKind.ValueType, task: bytes, previous: State, revision: int
) -> bytes:
    """Serialize a WatchTasksResponse with the change of a task."""
    head = task_watch_pb2.TaskChange(kind=kind, previous_state=previous, sequence=revision)
    content = head.SerializeToString() + field(task_watch_pb2.TaskChange.TASK_FIELD_NUMBER, task)
    return field(RESPONSE.TASK_CHANGE_FIELD_NUMBER, content)


def tasks(parts: bytes) -> bytes:
    """Serialize a WatchTasksResponse with tasks of a snapshot, each made by `snapshot_part`."""
    return field(RESPONSE.SNAPSHOT_TASKS_FIELD_NUMBER, parts)


def snapshot_part(task: bytes) -> bytes:
    """Serialize a task as a field of SnapshotTasks."""
    return field(task_watch_pb2.SnapshotTasks.TASKS_FIELD_NUMBER, task)


def with_token(response: bytes, token: bytes) -> bytes:
    """Return a serialized response with a resume token added."""
    return response + field(RESPONSE.RESUME_TOKEN_FIELD_NUMBER, token)


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > VARINT_PAYLOAD:
        octets.append(number & VARINT_PAYLOAD | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)
