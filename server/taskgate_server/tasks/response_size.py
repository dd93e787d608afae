"""Limits the size of unary responses with many tasks.

By default, gRPC clients refuse messages of more than 4 MiB, and the caller then gets nothing of the
response: https://grpc.io/docs/guides/resource-limits/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.status import to_status

FIELD_BYTES: Final = 5
"""The tag and the length of a repeated field."""

Result = task_service_pb2.TaskResult


def fit_results(results: Sequence[Result], max_bytes: int, call_id: str) -> list[Result]:
    """Return the results, with errors in place of the tasks that do not fit.

    Args:
        results: of a batch, each with a task or an error. A single one is returned as it is.
        max_bytes: of all results together.
        call_id: of the call, for the errors.
    """
    if len(results) == 1 or sum(map(_size, results)) <= max_bytes:
        return list(results)
    status = to_status(errors.response_too_large(max_bytes), call_id)
    substitutes = [
        Result(name=each.name, error=status) if each.HasField("task") else each for each in results
    ]
    room = max_bytes - sum(map(_size, substitutes))
    fitting = []
    for result, substitute in zip(results, substitutes, strict=True):
        chosen = result if _size(result) - _size(substitute) <= room else substitute
        room -= _size(chosen) - _size(substitute)
        fitting.append(chosen)
    return fitting


def count_fitting(tasks: Sequence[task_pb2.Task], max_bytes: int) -> int:
    """Return how many of the first tasks fit into a response."""
    for count, task in enumerate(tasks):
        max_bytes -= _size(task)
        if max_bytes < 0:
            return count
    return len(tasks)


def _size(message: Result | task_pb2.Task) -> int:
    return message.ByteSize() + FIELD_BYTES
