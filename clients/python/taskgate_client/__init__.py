"""Taskgate's Python client: `connect` gives a `Client`, errors are `CallError`s, names are typed.

from taskgate_client import connect

with connect("127.0.0.1:50051") as client:
    task = client.get_task("omics/runs/1234567/tasks/7654321")
"""

from __future__ import annotations

from taskgate_client.client import Client, connect
from taskgate_client.errors import CallError, Violation
from taskgate_client.names import DeadlineTaskName, OmicsTaskName, parse_task_name

__all__ = [
    "CallError",
    "Client",
    "DeadlineTaskName",
    "OmicsTaskName",
    "Violation",
    "connect",
    "parse_task_name",
]
