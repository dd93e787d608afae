"""SummarizeTasks of a run: HealthOmics has no counts, so the whole list of tasks is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from taskgate.v1 import task_service_pb2
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.tasks import summary
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.names import Parent
from taskgate_server.upstream.options import CallOptions

_FAILED: Final = "FAILED"
_TIMES: Final = ("creationTime", "startTime", "stopTime")


async def summarize(
    backend: TaskBackend, parent: Parent, paged: PagedOperation, options: CallOptions
) -> task_service_pb2.SummarizeTasksResponse:
    """See `TaskBackend.summarize`."""
    kind = backend.parents[parent.kind]
    response, (rows, listed_at) = await asyncio.gather(
        backend.gateway.call(kind.operation, parent.params, options),
        backend.read_rows(paged, parent.params, options),
    )
    run, state = response.value, kind.read(parent.name, response.value, response.observe_time)
    native_states = Counter(row.get("status") or "" for row in rows)
    failed = [row for row in rows if row.get("status") == _FAILED][: summary.MAX_FAILED_TASKS]
    return task_service_pb2.SummarizeTasksResponse(
        counts=summary.count_tasks(native_states, backend.states, state),
        first_start_time=summary.to_timestamp(
            min(summary.read_times(rows, ["startTime"], paged.operation), default=None)
        ),
        last_change_time=summary.to_timestamp(
            max(summary.read_times([run, *rows], _TIMES, paged.operation), default=None)
        ),
        failed_tasks=[
            backend.names.format({**parent.params, "taskId": row.get("taskId", "")})
            for row in failed
        ],
        display_name=run.get("name"),
        native_state=state.native_state,
        observe_time=to_timestamp(min(response.observe_time, listed_at)),
        parent_status=state.to_message(),
    )
