"""Taskgate's Python client: `connect` returns a `Client`, whose methods raise `CallError`.

from taskgate_client import connect

with connect("127.0.0.1:50051") as client:
    task = client.get_task("omics/runs/1234567/tasks/7654321")
    for event in client.watch_tasks("omics/runs/1234567", until_settled=True):
        ...

The names below, and the types of `names`, are imported at their first use, so that the command
line, which is part of this package, shows its help without importing gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskgate_client.client import Client
    from taskgate_client.connection import connect
    from taskgate_client.errors import CallError, ClosedError, Violation
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
    from taskgate_client.names import *  # noqa: F403  # a type for each kind of resource
    from taskgate_client.names import parse_parent_name, parse_task_name
    from taskgate_client.security import Tls, Token
    from taskgate_client.streams import TaskLog, TaskWatch, Timing

__all__ = [
    "CallError",
    "Client",
    "ClosedError",
    "Heartbeat",
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
    "errors": ("CallError", "ClosedError", "Violation"),
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
    "names": ("parse_parent_name", "parse_task_name"),
    "security": ("Tls", "Token"),
    "streams": ("TaskLog", "TaskWatch", "Timing"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name, "names" if name.endswith("Name") else "")
    value = getattr(import_module(f"{__name__}.{module}"), name, None) if module else None
    if value is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
