"""The tasks of AWS HealthOmics as `Task`: the steps of workflow runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import Message

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.calls import CallContext
from taskgate_server.services.omics import summary
from taskgate_server.services.omics.lookup import ListLookup
from taskgate_server.services.omics.spec import SPEC
from taskgate_server.tasks.backend import TaskBackend, TaskView, ToNative, set_fields
from taskgate_server.tasks.listing.pages import Cursor, Page
from taskgate_server.tasks.names import NameTemplate, Parent
from taskgate_server.tasks.parent_state import ParentKind
from taskgate_server.tasks.states import State, state_of
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions

NAMES: Final = NameTemplate(SPEC, "GetRunTask")

LIST_TASKS: Final = PagedOperation(SPEC.name, "ListRunTasks")

# The meaning of the values: https://docs.aws.amazon.com/omics/latest/dev/workflow-run-tasks.html
STATES: Final[Mapping[str, State]] = {
    "PENDING": task_pb2.TASK_STATE_PENDING,
    "STARTING": task_pb2.TASK_STATE_STARTING,
    "RUNNING": task_pb2.TASK_STATE_RUNNING,
    "STOPPING": task_pb2.TASK_STATE_STOPPING,
    "COMPLETED": task_pb2.TASK_STATE_SUCCEEDED,
    "FAILED": task_pb2.TASK_STATE_FAILED,
    "CANCELLED": task_pb2.TASK_STATE_CANCELLED,
}

RUNS: Final = ParentKind(
    operation="GetRun",
    status="status",
    # AWS does not report how a deleted run had ended.
    states={**STATES, "DELETED": task_pb2.TASK_STATE_CANCELLED},
    failure_reason="failureReason",
    status_message="statusMessage",
)

NATIVE_FIELDS: Final = {
    "display_name": "name",
    "create_time": "creation_time",
    "start_time": "start_time",
    "end_time": "stop_time",
    "status_message": "status_message",
    "failure_reason": "failure_reason",
}
"""See `TaskBackend.native_fields`."""

NATIVE_RESOURCES: Final = {
    "cpus": "cpus",
    "memory_gib": "memory",
    "gpus": "gpus",
    "instance_type": "instance_type",
}
"""The same for TaskResources."""


class Tasks(TaskBackend):
    """The tasks of HealthOmics."""

    names = NAMES
    states = STATES
    native_fields = NATIVE_FIELDS
    summarized_kinds = ("runs",)
    parents = {"runs": RUNS}  # noqa: RUF012  # typed in the base class
    root_kind = "runs"
    # HealthOmics can only cancel whole runs:
    # https://docs.aws.amazon.com/omics/latest/dev/canceling-runs.html
    alternative = "CancelRun"

    def __init__(self, gateway: Gateway, to_native: ToNative) -> None:
        super().__init__(gateway, to_native)
        self._lookup = ListLookup(self, LIST_TASKS)

    async def get_response(self, name: str, view: TaskView, call: CallContext) -> bytes:
        """See `TaskBackend.get_response`; reads BASIC from the run's list where that is cheaper."""
        if view != task_pb2.TASK_VIEW_BASIC:
            return await super().get_response(name, view, call)
        aws_request = self.aws_request(name)
        if self.gateway.cached_response(aws_request, call.max_age, call.since_write) is None:
            outcome = (await self._lookup.find([name], CallOptions.of(call))).get(name)
            if isinstance(outcome, errors.TaskgateError):
                raise outcome
            if outcome is not None:
                return task_service_pb2.GetTaskResponse(task=outcome).SerializeToString()
        with self._lookup.reading_singly(name):
            return await super().get_response(name, view, call)

    async def get_many(
        self, names: Sequence[str], view: TaskView, options: CallOptions
    ) -> list[task_pb2.Task | errors.TaskgateError]:
        """See `TaskBackend.get_many`; reads BASIC from the runs' lists where that is cheaper."""
        is_basic = view == task_pb2.TASK_VIEW_BASIC
        found = await self._lookup.find(names, options) if is_basic else {}
        missing = [name for name in names if name not in found]
        tasks = await super().get_many(missing, view, options)
        outcomes = {**found, **dict(zip(missing, tasks, strict=True))}
        return [outcomes[name] for name in names]

    async def list_page(
        self,
        parent: Parent,
        cursor: Cursor,
        size: int,
        options: CallOptions,
        *,
        native_state: str | None = None,
    ) -> Page:
        """See `TaskBackend.list_page`."""
        status = {} if native_state is None else {"status": native_state}
        page, observe_time = await self.fetch_page(
            LIST_TASKS, {**parent.params, **status}, cursor.token, size, options
        )
        tasks = [self.row_task(parent.params, row, observe_time) for row in page.rows]
        has_all = native_state is None and not cursor.token and not page.next_token
        return Page(
            tasks=tasks,
            next=Cursor(token=page.next_token) if page.next_token else None,
            total_size=len(tasks) if has_all else None,
            missing_fields=self.missing_fields(LIST_TASKS),
        )

    async def summarize(
        self, parent: Parent, options: CallOptions
    ) -> task_service_pb2.SummarizeTasksResponse:
        """See `TaskBackend.summarize`."""
        return await summary.summarize(self, parent, LIST_TASKS, options)

    def to_task(self, response: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """See `TaskBackend.to_task`."""
        assert isinstance(native, omics_pb2.GetRunTaskResponse)  # noqa: S101  # for mypy
        status = response.get("status")
        task = task_pb2.Task(
            state=state_of(status, STATES),
            native_state=status or "",
            omics=native,
            **set_fields(native, NATIVE_FIELDS),
        )
        resources = set_fields(native, NATIVE_RESOURCES)
        if resources:
            task.resources.CopyFrom(task_pb2.TaskResources(**resources))
        return task
