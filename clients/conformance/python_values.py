"""Results of the Python clients in the form that runners print."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_pb2, task_update_pb2, task_watch_pb2
from taskgate_client import (
    CallError,
    Heartbeat,
    Reconnecting,
    Resumed,
    Snapshot,
    TaskChange,
    Tls,
    Token,
    WatchEnd,
    WatchEvent,
    parse_parent_name,
    parse_task_name,
)
from taskgate_client.names import PARENT_NAMES, TASK_NAMES

KINDS: Mapping[str, Any] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__.removesuffix("Name")).lower(): kind
    for kind in (*PARENT_NAMES, *TASK_NAMES)
}
"""The types of names: `omics_task`, `OmicsTaskName`."""


def upload(chunks: int) -> Iterator[omics_pb2.UploadReadSetPartRequest]:
    """Yield so many chunks of a file."""
    for _ in range(chunks):
        yield omics_pb2.UploadReadSetPartRequest(
            sequence_store_id="1234567890",
            upload_id="1234567890",
            part_number=1,
            payload=bytes(64 * 1024),
        )


def word(enum: Any, prefix: str, number: int) -> str:
    """Return the name of an enum value without its prefix, or the number of an unknown one."""
    names = dict(zip(enum.values(), enum.keys(), strict=True))
    return names[number].removeprefix(prefix) if number in names else str(number)


def state(number: int) -> str:
    return word(task_pb2.TaskState, "TASK_STATE_", number)


def task(message: task_pb2.Task) -> dict[str, Any]:
    return {
        "name": message.name,
        "state": state(message.state),
        "native_state": message.native_state,
        "service": message.WhichOneof("native") or "",
        "parameters": {
            key: {kind: getattr(value, kind)} if (kind := value.WhichOneof("value")) else {}
            for key, value in message.parameters.items()
        },
    }


def parent(message: task_pb2.ParentStatus | None) -> dict[str, Any] | None:
    if message is None:
        return None
    return {
        "name": message.name,
        "state": state(message.state),
        "native_state": message.native_state,
        "ended": message.ended,
        **{
            field: getattr(message, field) if message.HasField(field) else None
            for field in ("lifecycle_status", "failure_reason", "status_message")
        },
    }


def parent_in(response: Any) -> dict[str, Any] | None:
    """Return the parent in a response."""
    return parent(response.parent_status) if response.HasField("parent_status") else None


def error(failed: CallError) -> dict[str, Any]:
    return {
        "code": failed.code.name,
        "message": failed.message,
        "reason": failed.reason,
        "domain": failed.domain,
        "metadata": failed.metadata,
        "violations": [each._asdict() for each in failed.violations],
        "retry_after": failed.retry_after_seconds,
        "resource": list(failed.resource) if failed.resource else None,
        "quota": failed.quota,
        "request_id": failed.request_id,
    }


def event(event: WatchEvent) -> dict[str, Any]:
    match event:
        case Snapshot():
            reason = word(task_watch_pb2.SnapshotReason, "SNAPSHOT_REASON_", event.reason)
            return {
                "event": "snapshot",
                "reason": reason,
                "tasks": [task(each) for each in event.tasks],
            }
        case TaskChange():
            kind = word(task_watch_pb2.TaskChangeKind, "TASK_CHANGE_KIND_", event.kind)
            previous = state(event.previous_state)
            return {
                "event": "change",
                "kind": kind,
                "task": task(event.task),
                "previous_state": previous,
            }
        case Heartbeat():
            failed = event.upstream_error
            return {"event": "heartbeat", "upstream_error": failed and error(failed)}
        case Reconnecting():
            return {
                "event": "reconnecting",
                "error": error(event.error),
                "failures": event.failures,
            }
        case Resumed():
            return {"event": "resumed"}
        case WatchEnd():
            reason = word(task_watch_pb2.WatchEndReason, "WATCH_END_REASON_", event.reason)
            return {"event": "end", "reason": reason, "parent": parent(event.parent_status)}


def connection(command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `connect` except the address."""
    token: Token | None = command.get("token")
    if "token_file" in command:
        token = Path(command["token_file"])
    elif "token_sequence" in command:
        tokens = list(command["token_sequence"])
        token = lambda: tokens.pop(0) if len(tokens) > 1 else tokens[0]  # noqa: E731  # as a user would write it
    return {
        "tls": Tls(**command["tls"]) if "tls" in command else None,
        "token": token,
        "target": command.get("target", ""),
        "balance": command.get("balance", False),
    }


def parsed(name: str) -> dict[str, Any]:
    """Parse a name into its kind and ids.

    Raises:
        ValueError: the name is malformed.
    """
    try:
        found: Any = parse_task_name(name)
    except ValueError:
        found = parse_parent_name(name)
    kind = next(key for key, each in KINDS.items() if type(found) is each)
    return {"kind": kind, "ids": list(found.ids)}


def native_ids(name: str) -> dict[str, Any]:
    """Return the ids in the name of a Deadline task, by the fields of AWS's requests."""
    task = parse_task_name(name)
    return {f"{kind}_id": each for kind, each in asdict(task).items()}


def run_status(number: int) -> str:
    return word(deadline_pb2.TaskRunStatus, "TASK_RUN_STATUS_", number)


def actions(updates: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: task_update_pb2.TaskAction.Value(f"TASK_ACTION_{action}")
        for name, action in updates.items()
    }


def view(command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the argument `view`, if the command has one."""
    if "view" not in command:
        return {}
    return {"view": task_pb2.TaskView.Value(f"TASK_VIEW_{command['view']}")}


def states(words: list[str]) -> list[Any]:
    return [task_pb2.TaskState.Value(f"TASK_STATE_{each}") for each in words]


def summary(response: Any) -> dict[str, Any]:
    counts = response.counts
    return {
        "total": counts.total,
        "states": {state(each.state): each.count for each in counts.states},
        "settled": counts.settled,
        "parent": parent_in(response),
    }
