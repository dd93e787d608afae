"""Limits the size of responses with many tasks or lines.

By default, gRPC clients refuse messages of more than 4 MiB, and the caller then gets nothing of the
response: https://grpc.io/docs/guides/resource-limits/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from taskgate.v1 import task_service_pb2
from taskgate_server import errors
from taskgate_server.status import to_status

FIELD_BYTES: Final = 5
"""The tag and the length of a repeated field."""

Result = task_service_pb2.TaskResult
T = TypeVar("T")


def split(
    items: Iterable[T], size_of: Callable[[T], int], max_items: int, max_bytes: int
) -> Iterator[list[T]]:
    """Yield the items in lists, each of as many as fit into a message, or of one larger item."""
    part: list[T] = []
    size = 0
    for item in items:
        added = size_of(item)
        if part and (len(part) == max_items or size + added > max_bytes):
            yield part
            part, size = [], 0
        part.append(item)
        size += added
    if part:
        yield part


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


def _size(result: Result) -> int:
    return result.ByteSize() + FIELD_BYTES
