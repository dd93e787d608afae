"""Requests of the load: files for `load.c`, for gRPC and for HTTP/1.1.

A file is a sequence of records, each a big-endian length of four bytes and what is sent: a gRPC
frame, or a whole HTTP/1.1 request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from taskgate.deadline.v1 import deadline_pb2

GET_TASK = "/taskgate.deadline.v1.DeadlineService/GetTask"

IDS = {"farmId": "farm", "queueId": "queue", "jobId": "job", "stepId": "step"}
PARENTS = {member: f"{prefix}-{'0123456789abcdef' * 2}" for member, prefix in IDS.items()}

DISTINCT_TASKS = 100_000
"""More than there are callers, so that no two of them request the same task at one time."""


def task_params(number: int) -> dict[str, str]:
    """Return boto3's parameters of GetTask for one of many tasks."""
    return {**PARENTS, "taskId": f"task-{'fedcba9876543210' * 2}-{number}"}


def grpc_record(number: int) -> bytes:
    """Return the request for a task as a gRPC frame: not compressed, length, message."""
    params = task_params(number)
    message = deadline_pb2.GetTaskRequest(
        farm_id=params["farmId"],
        queue_id=params["queueId"],
        job_id=params["jobId"],
        step_id=params["stepId"],
        task_id=params["taskId"],
    ).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


def http_record(number: int) -> bytes:
    """Return the request for a task for the FastAPI peer."""
    params = task_params(number)
    path = "/farms/{farmId}/queues/{queueId}/jobs/{jobId}/steps/{stepId}/tasks/{taskId}"
    return f"GET {path.format(**params)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def write_records(path: Path, numbers: Iterable[int], record: Callable[[int], bytes]) -> Path:
    """Write a request file."""
    with path.open("wb") as file:
        for number in numbers:
            request = record(number)
            file.write(len(request).to_bytes(4, "big") + request)
    return path
