"""Tasks, servers, errors and watches as text for a terminal."""

from __future__ import annotations

from taskgate_client.render.details import error, server_info, task
from taskgate_client.render.display import WatchDisplay
from taskgate_client.render.lines import event_line
from taskgate_client.render.tables import summary, task_table
from taskgate_client.render.text import is_hidden, parent_line, printable, state_word

__all__ = [
    "WatchDisplay",
    "error",
    "event_line",
    "is_hidden",
    "parent_line",
    "printable",
    "server_info",
    "state_word",
    "summary",
    "task",
    "task_table",
]
