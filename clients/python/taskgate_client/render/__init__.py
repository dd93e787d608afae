"""Tasks, servers, errors and watches as a person reads them in a terminal."""

from __future__ import annotations

from taskgate_client.render.details import error, server_info, task
from taskgate_client.render.lines import event_line
from taskgate_client.render.picture import WatchPicture
from taskgate_client.render.tables import summary, task_table
from taskgate_client.render.words import is_hidden, parent_line, printable, state_word

__all__ = [
    "WatchPicture",
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
