"""SummarizeTasks of a run: HealthOmics counts nothing, so its list of tasks is read to the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from taskgate.v1 import task_service_pb2
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.tasks import backend as backends
from taskgate_server.tasks import summary
from taskgate_server.tasks.backend import State, TaskBackend
from taskgate_server.tasks.names import Parent
from taskgate_server.upstream.options import CallOptions

_ENDED: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "DELETED"})
"""The statuses of a run that makes no more tasks."""
_FAILED: Final = "FAILED"
_CHANGES: Final = ("creationTime", "startTime", "stopTime")


async def summarize(
    backend: TaskBackend,
    parent: Parent,
    paged: PagedOperation,
    states: Mapping[str, State],
    options: CallOptions,
) -> task_service_pb2.SummarizeTasksResponse:
    """See `TaskBackend.summarize`."""
    answer, (rows, listed) = await asyncio.gather(
        backend.ask("GetRun", parent.params, options), _rows(backend, parent, paged, options)
    )
    run, has_ended = answer.value, answer.value.get("status") in _ENDED
    counts = summary.count_words(
        Counter(row.get("status") or "" for row in rows), states, settled_if_empty=has_ended
    )
    # A run makes its tasks one after the other: between two of them, all that there are have ended.
    counts.settled = counts.settled and has_ended
    failed = [row for row in rows if row.get("status") == _FAILED][: summary.MOST_FAILED_TASKS]
    return task_service_pb2.SummarizeTasksResponse(
        counts=counts,
        first_start_time=summary.to_timestamp(
            min(summary.moments(rows, ["startTime"], paged.operation), default=None)
        ),
        last_change_time=summary.to_timestamp(
            max(summary.moments([run, *rows], _CHANGES, paged.operation), default=None)
        ),
        failed_tasks=[
            backend.names.format({**parent.params, "taskId": row.get("taskId", "")})
            for row in failed
        ],
        display_name=run.get("name"),
        native_state=run.get("status") or "",
        observe_time=backends.to_timestamp(min(answer.observe_time, listed)),
    )


async def _rows(
    backend: TaskBackend, parent: Parent, paged: PagedOperation, options: CallOptions
) -> tuple[list[Mapping[str, Any]], float]:
    """All rows, and when AWS gave the oldest of them."""
    rows: list[Mapping[str, Any]] = []
    token, oldest = "", float("inf")
    while True:
        page, observed = await backend.ask_page(
            paged, parent.params, token, paged.max_size, options
        )
        rows += page.rows
        oldest = min(oldest, observed)
        token = page.next_token
        if not token:
            return rows, oldest
