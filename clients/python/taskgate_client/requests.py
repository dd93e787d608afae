"""The requests of TaskService, built from what callers of a Python client give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration

from taskgate.v1 import (
    task_log_pb2,
    task_pb2,
    task_service_pb2,
    task_update_pb2,
    task_watch_pb2,
)
from taskgate_client.names import ParentName, TaskName

State: TypeAlias = task_pb2.TaskState.ValueType
View: TypeAlias = task_pb2.TaskView.ValueType
Action: TypeAlias = task_update_pb2.TaskAction.ValueType

MAX_NAMES = 1_000
"""How many tasks one request may name."""


def get_task(name: str | TaskName, max_age: float | None) -> task_service_pb2.GetTaskRequest:
    """One task."""
    return task_service_pb2.GetTaskRequest(name=str(name), max_age=duration(max_age))


def batch_get_tasks(
    names: Iterable[str | TaskName], view: View, max_age: float | None
) -> list[task_service_pb2.BatchGetTasksRequest]:
    """Any number of tasks, `MAX_NAMES` in each request."""
    texts = [str(name) for name in names]
    return [
        task_service_pb2.BatchGetTasksRequest(
            names=texts[start : start + MAX_NAMES], view=view, max_age=duration(max_age)
        )
        for start in range(0, len(texts), MAX_NAMES)
    ]


def list_tasks(
    parent: str | ParentName,
    *,
    filter: str,  # noqa: A002  # AIP-160's own name for it
    view: View,
    page_size: int,
    max_age: float | None,
) -> task_service_pb2.ListTasksRequest:
    """The first page of a parent's tasks."""
    return task_service_pb2.ListTasksRequest(
        parent=str(parent),
        filter=filter,
        view=view,
        page_size=page_size,
        max_age=duration(max_age),
    )


def watch_tasks(
    watched: str | ParentName | Iterable[str | TaskName],
    *,
    view: View,
    until_settled: bool,
    heartbeat_interval: float | None,
) -> task_watch_pb2.WatchTasksRequest:
    """A parent, or tasks.

    Args:
        watched: a parent's name, or names of tasks.
        view: how much to tell of each task.
        until_settled: whether the watch ends when all have settled.
        heartbeat_interval: seconds; None leaves it to the server.
    """
    request = task_watch_pb2.WatchTasksRequest(
        view=view, until_settled=until_settled, heartbeat_interval=duration(heartbeat_interval)
    )
    if isinstance(watched, Iterable) and not isinstance(watched, str):
        request.names.extend(str(name) for name in watched)
    else:
        request.parent = str(watched)
    return request


def batch_update_tasks(
    updates: Mapping[str, Action], request_id: str, reason: str
) -> task_update_pb2.BatchUpdateTasksRequest:
    """What is to become of each of some tasks."""
    return task_update_pb2.BatchUpdateTasksRequest(
        updates=[
            task_update_pb2.TaskUpdate(name=name, action=action) for name, action in updates.items()
        ],
        request_id=request_id,
        reason=reason,
    )


def stream_task_logs(  # noqa: PLR0913  # the request has that many fields; one is required
    name: str | TaskName,
    *,
    follow: bool,
    since: datetime | None,
    limit: int,
    tail: int,
    attempt: int | None,
    heartbeat_interval: float | None,
) -> task_log_pb2.StreamTaskLogsRequest:
    """A task's log, or a part of it."""
    request = task_log_pb2.StreamTaskLogsRequest(
        name=str(name),
        follow=follow,
        limit=limit,
        tail=tail,
        attempt=attempt,
        heartbeat_interval=duration(heartbeat_interval),
    )
    if since is not None:
        request.since.FromDatetime(since)
    return request


def duration(seconds: float | None) -> Duration | None:
    """Seconds as a message; None stays None, which leaves a field unset."""
    if seconds is None:
        return None
    message = Duration()
    message.FromTimedelta(timedelta(seconds=seconds))
    return message
