"""Taskgate's Python client: `connect` returns a `Client`, whose methods raise `CallError`.

from taskgate_client import connect

with connect("127.0.0.1:50051") as client:
    task = client.get_task("omics/runs/1234567/tasks/7654321")
    for event in client.watch_tasks("omics/runs/1234567", until_settled=True):
        ...

The names below are imported at their first use, so that the command line, which is part of this
package, shows its help without importing gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskgate_client.client import Client
    from taskgate_client.connection import connect
    from taskgate_client.errors import CallError, Violation
    from taskgate_client.events import (
        Heartbeat,
        Reconnecting,
        Resumed,
        Snapshot,
        TaskChange,
        WatchedTasks,
        WatchEnd,
        WatchEvent,
    )
    from taskgate_client.listing import TaskListing
    from taskgate_client.names import (
        DeadlineJobName,
        DeadlineQueueName,
        DeadlineStepName,
        DeadlineTaskName,
        OmicsRunName,
        OmicsTaskName,
        parse_parent_name,
        parse_task_name,
    )
    from taskgate_client.security import Tls, Token
    from taskgate_client.streams import TaskLog, TaskWatch, Timing

__all__ = [
    "CallError",
    "Client",
    "DeadlineJobName",
    "DeadlineQueueName",
    "DeadlineStepName",
    "DeadlineTaskName",
    "Heartbeat",
    "OmicsRunName",
    "OmicsTaskName",
    "Reconnecting",
    "Resumed",
    "Snapshot",
    "TaskChange",
    "TaskListing",
    "TaskLog",
    "TaskWatch",
    "Timing",
    "Tls",
    "Token",
    "Violation",
    "WatchEnd",
    "WatchEvent",
    "WatchedTasks",
    "connect",
    "parse_parent_name",
    "parse_task_name",
]

_MODULES = {
    "client": ("Client",),
    "connection": ("connect",),
    "errors": ("CallError", "Violation"),
    "events": (
        "Heartbeat",
        "Reconnecting",
        "Resumed",
        "Snapshot",
        "TaskChange",
        "WatchEnd",
        "WatchEvent",
        "WatchedTasks",
    ),
    "listing": ("TaskListing",),
    "names": (
        "DeadlineJobName",
        "DeadlineQueueName",
        "DeadlineStepName",
        "DeadlineTaskName",
        "OmicsRunName",
        "OmicsTaskName",
        "parse_parent_name",
        "parse_task_name",
    ),
    "security": ("Tls", "Token"),
    "streams": ("TaskLog", "TaskWatch", "Timing"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
