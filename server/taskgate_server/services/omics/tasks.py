"""AWS HealthOmics' run tasks as `Task`: the steps of a workflow run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import Message

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.services.omics import summary as summary_omics
from taskgate_server.services.omics.spec import SPEC as OMICS
from taskgate_server.tasks.backend import (
    NoVerbs,
    TaskBackend,
    TaskView,
    present,
)
from taskgate_server.tasks.listing import lookup as listing_lookup
from taskgate_server.tasks.listing.page import Page
from taskgate_server.tasks.listing.page_tokens import Cursor
from taskgate_server.tasks.names import NameTemplate, Parent
from taskgate_server.tasks.parent_state import ParentKind
from taskgate_server.tasks.states import State, state_of
from taskgate_server.upstream.options import CallOptions

NAMES: Final = NameTemplate(OMICS.task_name, OMICS.name, "GetRunTask", OMICS.task_parents)

LIST_TASKS: Final = PagedOperation("omics", "ListRunTasks")

# What the words mean: https://docs.aws.amazon.com/omics/latest/dev/workflow-run-tasks.html
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
    # A deleted run does not say how it had ended.
    states={**STATES, "DELETED": task_pb2.TASK_STATE_CANCELLED},
    failure_reason="failureReason",
    status_message="statusMessage",
)

SAME: Final = {
    "display_name": "name",
    "create_time": "creation_time",
    "start_time": "start_time",
    "end_time": "stop_time",
    "status_message": "status_message",
    "failure_reason": "failure_reason",
}
"""Fields of Task that are a field of AWS's answer: ours to AWS's."""

RESOURCES: Final = {
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
    same = SAME
    summarized = ("runs",)
    parents = {"runs": RUNS}  # noqa: RUF012  # typed in the base class
    root_kind = "runs"
    # It ends whole runs only:
    # https://docs.aws.amazon.com/omics/latest/dev/canceling-runs.html
    verbs = NoVerbs(alternative="CancelRun")

    async def get_many(
        self, names: Sequence[str], view: TaskView, options: CallOptions
    ) -> list[task_pb2.Task | errors.TaskgateError]:
        """See `TaskBackend.get_many`: by lists where their rows have all that is asked for."""
        found: listing_lookup.Found = {}
        if view == task_pb2.TASK_VIEW_BASIC:
            found = await listing_lookup.look_up(self, LIST_TASKS, "runs", names, options)
        left = [name for name in names if name not in found]
        singly = dict(zip(left, await super().get_many(left, view, options), strict=True))
        return [found[name] if name in found else singly[name] for name in names]

    async def list_page(
        self,
        parent: Parent,
        cursor: Cursor,
        size: int,
        options: CallOptions,
        *,
        word: str | None = None,
    ) -> Page:
        """See `TaskBackend.list_page`."""
        params = {**parent.params, **({} if word is None else {"status": word})}
        page, observed = await self.fetch_page(LIST_TASKS, params, cursor.token, size, options)
        tasks = [self.row_task(parent.params, row, observed) for row in page.rows]
        is_whole = word is None and not cursor.token and not page.next_token
        return Page(
            tasks=tasks,
            next=Cursor(token=page.next_token) if page.next_token else None,
            total_size=len(tasks) if is_whole else None,
            lacks=self.lacks(LIST_TASKS),
        )

    async def summarize(
        self, parent: Parent, options: CallOptions
    ) -> task_service_pb2.SummarizeTasksResponse:
        """See `TaskBackend.summarize`."""
        return await summary_omics.summarize(self, parent, LIST_TASKS, self.states, options)

    def to_task(self, response: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """See `TaskBackend.to_task`."""
        assert isinstance(native, omics_pb2.GetRunTaskResponse)  # noqa: S101  # for mypy
        word = response.get("status")
        task = task_pb2.Task(
            state=state_of(word, STATES),
            native_state=word or "",
            omics=native,
            **present(native, SAME),
        )
        resources = present(native, RESOURCES)
        if resources:
            task.resources.CopyFrom(task_pb2.TaskResources(**resources))
        return task
