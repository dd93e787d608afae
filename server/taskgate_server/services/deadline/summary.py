"""SummarizeTasks of a step and a job: Deadline Cloud counts their tasks itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from taskgate.v1 import task_service_pb2
from taskgate_server.services.deadline.listing import LIST_STEPS, LIST_TASKS
from taskgate_server.tasks import summary
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.states import State
from taskgate_server.upstream.options import CallOptions

_COUNTS: Final = "taskRunStatusCounts"
_FAILED: Final = "FAILED"
_MAX_PAGES: Final = 20
"""AWS does not select failed tasks: past so many pages of ListTasks they are not looked for."""

_CHANGES: Final = ("createdAt", "startedAt", "endedAt", "updatedAt")


async def summarize(
    backend: TaskBackend, parent: Parent, states: Mapping[str, State], options: CallOptions
) -> task_service_pb2.SummarizeTasksResponse:
    """See `TaskBackend.summarize`."""
    kind = backend.parents[parent.kind]
    operation = kind.operation
    response = await backend.ask(operation, parent.params, options)
    told, observed = response.value, response.observe_time
    state = await backend.root_if_final(kind.read(parent.name, told, observed), options)
    observed = min(observed, state.observe_time)
    failed: list[str] = []
    counts = told.get(_COUNTS) or {}
    if counts.get(_FAILED):
        failed, listed = await _Failed(backend, options).of(parent, counts[_FAILED])
        observed = min(observed, listed)
    return task_service_pb2.SummarizeTasksResponse(
        counts=summary.count_words(counts, states, state),
        first_start_time=summary.to_timestamp(
            min(summary.moments([told], ["startedAt"], operation), default=None)
        ),
        last_change_time=summary.to_timestamp(
            max(summary.moments([told], _CHANGES, operation), default=None)
        ),
        failed_tasks=failed,
        display_name=told.get("name"),
        native_state=state.native_state,
        observe_time=to_timestamp(observed),
        parent_status=state.to_message(),
    )


class _Failed:
    """Looks for failed tasks, in the lists of the steps that count some."""

    def __init__(self, backend: TaskBackend, options: CallOptions) -> None:
        self._backend = backend
        self._options = options
        self._names: list[str] = []
        self._pages = _MAX_PAGES
        self._observed = float("inf")

    async def of(self, parent: Parent, count: int) -> tuple[list[str], float]:
        """The names of failed tasks, and when AWS gave the oldest answer that was needed."""
        if parent.kind == "jobs":
            await self._search_job(parent)
        else:
            await self._search_step(parent, count)
        return self._names, self._observed

    async def _search_job(self, job: Parent) -> None:
        token = ""
        while not self._is_enough():
            page, observed = await self._backend.fetch_page(
                LIST_STEPS, job.params, token, LIST_STEPS.max_size, self._options
            )
            self._observed = min(self._observed, observed)
            for step in page.rows:
                count = (step.get(_COUNTS) or {}).get(_FAILED)
                if count and not self._is_enough():
                    name = f"{job.name}/steps/{step.get('stepId')}"
                    parent = self._backend.names.parse_parent(name, "parent", {"steps"})
                    await self._search_step(parent, count)
            token = page.next_token
            if not token:
                return

    async def _search_step(self, step: Parent, count: int) -> None:
        """Until as many are found as the step counts."""
        token, left = "", count
        while left > 0 and not self._is_enough():
            page, observed = await self._backend.fetch_page(
                LIST_TASKS, step.params, token, LIST_TASKS.max_size, self._options
            )
            self._pages -= 1
            self._observed = min(self._observed, observed)
            names = [self._name(step, row) for row in page.rows if row.get("runStatus") == _FAILED]
            left -= len(names)
            self._names += names[: summary.MAX_FAILED_TASKS - len(self._names)]
            token = page.next_token
            if not token:
                return

    def _name(self, step: Parent, row: Mapping[str, Any]) -> str:
        return self._backend.names.format({**step.params, "taskId": row.get("taskId", "")})

    def _is_enough(self) -> bool:
        return self._pages <= 0 or len(self._names) >= summary.MAX_FAILED_TASKS
