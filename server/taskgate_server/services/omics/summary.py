"""SummarizeTasks of a run: HealthOmics counts nothing, so its list of tasks is read to the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from taskgate.v1 import task_service_pb2
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.tasks import summary
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.states import State
from taskgate_server.upstream.options import CallOptions

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
    kind = backend.parents[parent.kind]
    response, (rows, listed) = await asyncio.gather(
        backend.ask(kind.operation, parent.params, options), _rows(backend, parent, paged, options)
    )
    run, state = response.value, kind.read(parent.name, response.value, response.observe_time)
    counts = summary.count_words(Counter(row.get("status") or "" for row in rows), states, state)
    failed = [row for row in rows if row.get("status") == _FAILED][: summary.MAX_FAILED_TASKS]
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
        native_state=state.native_state,
        observe_time=to_timestamp(min(response.observe_time, listed)),
        parent_status=state.to_message(),
    )


async def _rows(
    backend: TaskBackend, parent: Parent, paged: PagedOperation, options: CallOptions
) -> tuple[list[Mapping[str, Any]], float]:
    """All rows, and when AWS gave the oldest of them."""
    rows: list[Mapping[str, Any]] = []
    token, oldest = "", float("inf")
    while True:
        page, observed = await backend.fetch_page(
            paged, parent.params, token, paged.max_size, options
        )
        rows += page.rows
        oldest = min(oldest, observed)
        token = page.next_token
        if not token:
            return rows, oldest
