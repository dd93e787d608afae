"""A page of a parent's tasks, as one module here for each AWS service makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskgate.v1 import task_pb2
from taskgate_server.tasks.listing.page_tokens import Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a parent's tasks, as AWS has cut it."""

    tasks: Sequence[task_pb2.Task]
    next: Cursor | None
    """Where the next one begins; None after the last one."""
    total_size: int | None = None
    """How many tasks the parent has, where that cost nothing to learn."""
    incomplete_reason: str | None = None
    """Why AWS will not tell of all of them, for a person."""
    lacks: frozenset[str] = frozenset()
    """The native fields that AWS's operation for one task tells, and these rows do not."""
    calls: int = 1
    """How many calls it took."""
