"""The serialized form of what replicas share about a parent: changes of tasks, and its status.

A replica of another version reads it, so a new format needs another version of the store's keys.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from grpc import StatusCode

from taskgate_server.error_rules import Retry
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.parent_state import ParentState
from taskgate_server.tasks.watch.change_log import Entry

HEAD: Final = struct.Struct(">?ddQiiHH")
"""Removed, observe time, sent at, added, state, previous state, and the lengths of two texts."""


@dataclass(frozen=True, slots=True)
class StoreTime:
    """Converts times of the local clock to those of the store and back.

    The clocks are compared once in a while by a request to the store. A time is converted to one
    that is too early by up to the duration of that request, so that nothing seems fresher than it
    is.
    """

    least: float = 0.0
    """The least possible difference between the time of the store and that of the clock."""
    most: float = 0.0

    @classmethod
    def measured(cls, began: float, store_time: float, ended: float) -> StoreTime:
        """Return what a request that began and ended by the local clock shows."""
        return cls(least=store_time - ended, most=store_time - began)

    def to_store(self, time: float) -> float:
        """Return a time of the local clock as one of the store."""
        return time + self.least

    def to_local(self, time: float) -> float:
        """Return a time of the store as one of the local clock."""
        return time - self.most


def serialize(entry: Entry, times: StoreTime) -> bytes:
    """Return a change without its revision, which the store assigns."""
    name, native_state = entry.name.encode(), entry.native_state.encode()
    head = HEAD.pack(
        entry.removed,
        math.nan if entry.observe_time is None else entry.observe_time,
        times.to_store(entry.sent_at),
        0 if entry.added == entry.revision else entry.added,
        entry.state,
        entry.previous,
        len(name),
        len(native_state),
    )
    return head + name + native_state + entry.body


def deserialize(revision: int, content: bytes, times: StoreTime) -> Entry:
    """Return a change with a revision."""
    removed, observe_time, sent_at, added, state, previous, name, native = HEAD.unpack_from(content)
    names, natives = HEAD.size + name, HEAD.size + name + native
    return Entry(
        name=content[HEAD.size : names].decode(),
        state=state,
        native_state=content[names:natives].decode(),
        body=content[natives:],
        observe_time=None if math.isnan(observe_time) else observe_time,
        sent_at=times.to_local(sent_at),
        revision=revision,
        added=added or revision,
        previous=previous,
        removed=removed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What watchers need to know of a parent besides its tasks. Times are seconds, by a clock."""

    began_at: float = -math.inf
    swept_at: float = -math.inf
    full_at: float = -math.inf
    """When the latest full sweep began that was successful."""
    next_at: float = -math.inf
    failed_at: float = -math.inf
    error: TaskgateError | None = None
    gone: bool = False
    has_ended: bool = False
    parent: ParentState | None = None

    def converted(self, convert: Callable[[float], float]) -> Status:
        """Return the status with other times."""
        return replace(
            self,
            began_at=convert(self.began_at),
            swept_at=convert(self.swept_at),
            full_at=convert(self.full_at),
            next_at=convert(self.next_at),
            failed_at=convert(self.failed_at),
        )


def serialize_status(status: Status, times: StoreTime) -> bytes:
    """Return a status with times of the store."""
    found = status.converted(times.to_store)
    values: dict[str, Any] = {each.name: getattr(found, each.name) for each in fields(found)}
    if found.error is not None:
        error = found.error
        values["error"] = {
            "code": error.code.name,
            "message": error.message,
            "reason": error.reason,
            "domain": error.domain,
            "metadata": error.metadata,
            "retry_after": error.retry_after,
            "retry": error.retry.value,
        }
    if found.parent is not None:
        values["parent"] = asdict(found.parent)
    return json.dumps(values).encode()


def deserialize_status(content: bytes, times: StoreTime) -> Status:
    """Return a status with times of the local clock; one of no state if there is none."""
    if not content:
        return Status()
    values = json.loads(content)
    if values["error"] is not None:
        code = StatusCode[values["error"].pop("code")]
        retry = Retry(values["error"].pop("retry"))
        values["error"] = TaskgateError(code=code, retry=retry, **values["error"])
    if values["parent"] is not None:
        values["parent"] = ParentState(**values["parent"])
    return Status(**values).converted(times.to_local)
