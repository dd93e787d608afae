"""SummarizeTasks of a step or a job: Deadline Cloud counts their tasks itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from taskgate.v1 import task_service_pb2
from taskgate_server.services.deadline.listing import LIST_STEPS, LIST_TASKS
from taskgate_server.tasks import summary
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.names import Parent
from taskgate_server.upstream.options import CallOptions

_COUNTS: Final = "taskRunStatusCounts"
_FAILED: Final = "FAILED"
_MAX_PAGES: Final = 20
"""Pages of ListTasks that are searched for failed tasks, since AWS cannot filter by state."""

_TIMES: Final = ("createdAt", "startedAt", "endedAt", "updatedAt")


async def summarize(
    backend: TaskBackend, parent: Parent, options: CallOptions
) -> task_service_pb2.SummarizeTasksResponse:
    """See `TaskBackend.summarize`."""
    kind = backend.parents[parent.kind]
    response = await backend.gateway.call(kind.operation, parent.params, options)
    value, observe_time = response.value, response.observe_time
    state = await backend.root_if_final(kind.read(parent.name, value, observe_time), options)
    observe_time = min(observe_time, state.observe_time)
    failed: list[str] = []
    counts = value.get(_COUNTS) or {}
    if counts.get(_FAILED):
        failed, listed_at = await _FailedTasks(backend, options).find(parent, counts[_FAILED])
        observe_time = min(observe_time, listed_at)
    return task_service_pb2.SummarizeTasksResponse(
        counts=summary.count_tasks(counts, backend.states, state),
        first_start_time=summary.to_timestamp(
            min(summary.read_times([value], ["startedAt"], kind.operation), default=None)
        ),
        last_change_time=summary.to_timestamp(
            max(summary.read_times([value], _TIMES, kind.operation), default=None)
        ),
        failed_tasks=failed,
        display_name=value.get("name"),
        native_state=state.native_state,
        observe_time=to_timestamp(observe_time),
        parent_status=state.to_message(),
    )


class _FailedTasks:
    """Searches the lists of the steps that count failed tasks."""

    def __init__(self, backend: TaskBackend, options: CallOptions) -> None:
        self._backend = backend
        self._options = options
        self._names: list[str] = []
        self._pages_left = _MAX_PAGES
        self._observe_time = float("inf")

    async def find(self, parent: Parent, count: int) -> tuple[list[str], float]:
        """Return the names of failed tasks, and when AWS sent the oldest of the lists."""
        if parent.kind == "jobs":
            await self._search_job(parent)
        else:
            await self._search_step(parent, count)
        return self._names, self._observe_time

    async def _search_job(self, job: Parent) -> None:
        pages = self._backend.pages(LIST_STEPS, job.params, self._options)
        async for page, observe_time in pages:
            self._observe_time = min(self._observe_time, observe_time)
            for step in page.rows:
                count = (step.get(_COUNTS) or {}).get(_FAILED)
                if count and not self._is_done():
                    name = f"{job.name}/steps/{step.get('stepId')}"
                    parent = self._backend.names.parse_parent(name, "parent", {"steps"})
                    await self._search_step(parent, count)
            if self._is_done():
                return

    async def _search_step(self, step: Parent, count: int) -> None:
        """Search a step until all tasks that it counts have been found."""
        left = count
        pages = self._backend.pages(LIST_TASKS, step.params, self._options)
        async for page, observe_time in pages:
            self._pages_left -= 1
            self._observe_time = min(self._observe_time, observe_time)
            names = [self._name(step, row) for row in page.rows if row.get("runStatus") == _FAILED]
            left -= len(names)
            self._names += names[: summary.MAX_FAILED_TASKS - len(self._names)]
            if left <= 0 or self._is_done():
                return

    def _name(self, step: Parent, row: Mapping[str, Any]) -> str:
        return self._backend.names.format({**step.params, "taskId": row.get("taskId", "")})

    def _is_done(self) -> bool:
        return self._pages_left <= 0 or len(self._names) >= summary.MAX_FAILED_TASKS
