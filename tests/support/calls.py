"""The server's context of a call, made without a server."""

from __future__ import annotations

from taskgate_server.calls import Call


def make_call(**fields: object) -> Call:
    """Return the context of a `GetTask` call, with other fields where given."""
    defaults = {
        "method": "taskgate.v1.TaskService/GetTask",
        "call_id": "a1b2",
        "time_remaining": lambda: None,
    }
    return Call(**{**defaults, **fields})  # type: ignore[arg-type]  # fields of all types
