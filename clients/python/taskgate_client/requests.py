"""Requests of TaskService, built from the arguments of the Python clients."""

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
"""Maximum number of names in a request."""


def get_task(
    name: str | TaskName, view: View, max_age: float | None
) -> task_service_pb2.GetTaskRequest:
    """Return the request for a task."""
    return task_service_pb2.GetTaskRequest(name=str(name), view=view, max_age=duration(max_age))


def batch_get_tasks(
    names: Iterable[str | TaskName], view: View, max_age: float | None
) -> list[task_service_pb2.BatchGetTasksRequest]:
    """Return the requests for any number of tasks, with up to `MAX_NAMES` in each."""
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
    """Return the request for the first page of a parent's tasks."""
    return task_service_pb2.ListTasksRequest(
        parent=str(parent),
        filter=filter,
        view=view,
        page_size=page_size,
        max_age=duration(max_age),
    )


def watch_tasks(
    parent_or_names: str | ParentName | Iterable[str | TaskName],
    *,
    view: View,
    until_settled: bool,
    heartbeat_interval: float | None,
) -> task_watch_pb2.WatchTasksRequest:
    """Return the request for a watch.

    Args:
        parent_or_names: the name of a parent, or names of tasks.
        view: the fields of each task.
        until_settled: end the watch when all tasks have settled.
        heartbeat_interval: seconds; None for the server's default.
    """
    request = task_watch_pb2.WatchTasksRequest(
        view=view, until_settled=until_settled, heartbeat_interval=duration(heartbeat_interval)
    )
    if isinstance(parent_or_names, Iterable) and not isinstance(parent_or_names, str):
        request.names.extend(str(name) for name in parent_or_names)
    else:
        request.parent = str(parent_or_names)
    return request


def batch_update_tasks(
    updates: Mapping[str, Action], request_id: str, reason: str
) -> task_update_pb2.BatchUpdateTasksRequest:
    """Return the request for an action on each of several tasks."""
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
    """Return the request for a task's log, or part of it."""
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
    """Convert seconds to a message; None stays None, which leaves a field unset."""
    if seconds is None:
        return None
    message = Duration()
    message.FromTimedelta(timedelta(seconds=seconds))
    return message
