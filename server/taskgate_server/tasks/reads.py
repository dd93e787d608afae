"""The methods of TaskService that read: tasks, pages and summaries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.status import to_status
from taskgate_server.tasks.backend import Backends, TaskBackend, TaskView
from taskgate_server.tasks.durations import seconds_of
from taskgate_server.tasks.listing.request import Faults, parse_request, view_of
from taskgate_server.tasks.listing.service import list_tasks
from taskgate_server.tasks.response_size import fit_results
from taskgate_server.upstream.options import CallOptions

MAX_NAMES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """Serves these methods; each method here has the name of its RPC."""

    backends: Backends
    max_response_bytes: int
    """The maximum size of a response with many tasks."""

    async def get_task(self, request: task_service_pb2.GetTaskRequest, call: CallContext) -> bytes:
        """Return the serialized response of GetTask."""
        backend = self.backends.of(request.name, "name")
        view = view_of(request, task_pb2.TASK_VIEW_FULL)
        max_age = seconds_of(request, "max_age")
        if max_age is not None:
            call = call._replace(max_age=max_age)
        return await backend.get_response(request.name, view, call)

    async def batch_get_tasks(
        self, request: task_service_pb2.BatchGetTasksRequest, call: CallContext
    ) -> task_service_pb2.BatchGetTasksResponse:
        """Return the response of BatchGetTasks."""
        faults = Faults()
        faults.check(lambda: _check_count(len(request.names)))
        view = faults.check(lambda: view_of(request, task_pb2.TASK_VIEW_FULL))
        max_age = faults.check(lambda: seconds_of(request, "max_age"))
        faults.raise_any()
        assert view is not None  # noqa: S101  # or there was a fault
        outcomes = await self._get_many(request.names, view, CallOptions.of(call, max_age=max_age))
        results = [_result(name, outcomes[name], call) for name in request.names]
        return task_service_pb2.BatchGetTasksResponse(
            results=fit_results(results, self.max_response_bytes, call.call_id)
        )

    async def list_tasks(
        self, request: task_service_pb2.ListTasksRequest, call: CallContext
    ) -> task_service_pb2.ListTasksResponse:
        """Return the response of ListTasks."""
        return await list_tasks(
            parse_request(request, self.backends), call, self.max_response_bytes
        )

    async def summarize_tasks(
        self, request: task_service_pb2.SummarizeTasksRequest, call: CallContext
    ) -> task_service_pb2.SummarizeTasksResponse:
        """Return the response of SummarizeTasks."""
        backends = self.backends.by_service.values()
        kinds = {kind for each in backends for kind in each.summarized_kinds}
        faults = Faults()
        found = faults.check(lambda: self.backends.parent(request.parent, "parent", kinds))
        max_age = faults.check(lambda: seconds_of(request, "max_age"))
        faults.raise_any()
        assert found is not None  # noqa: S101  # or there was a fault
        backend, parent = found
        return await backend.summarize(parent, CallOptions.of(call, max_age=max_age))

    async def _get_many(
        self, names: Iterable[str], view: TaskView, options: CallOptions
    ) -> dict[str, task_pb2.Task | errors.TaskgateError]:
        """Return the task of each name, or its error. All AWS services are called concurrently."""
        outcomes: dict[str, task_pb2.Task | errors.TaskgateError] = {}
        by_backend: dict[TaskBackend, list[str]] = {}
        for name in dict.fromkeys(names):
            try:
                backend = self.backends.of(name, "name")
                backend.aws_request(name)
            except errors.TaskgateError as error:
                outcomes[name] = error
            else:
                by_backend.setdefault(backend, []).append(name)
        responses = await asyncio.gather(
            *(backend.get_many(some, view, options) for backend, some in by_backend.items())
        )
        for some, tasks in zip(by_backend.values(), responses, strict=True):
            outcomes.update(zip(some, tasks, strict=True))
        return outcomes


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_NAMES:
        raise errors.invalid_request({"names": f"has item count {count}, must be 1 to {MAX_NAMES}"})


def _result(
    name: str, outcome: task_pb2.Task | errors.TaskgateError, call: CallContext
) -> task_service_pb2.TaskResult:
    if isinstance(outcome, errors.TaskgateError):
        return task_service_pb2.TaskResult(name=name, error=to_status(outcome, call.call_id))
    return task_service_pb2.TaskResult(name=name, task=outcome)
