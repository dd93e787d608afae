"""The tasks of AWS Deadline Cloud as `Task`: the parts of a render job's steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message

from taskgate.deadline.v1 import deadline_pb2
from taskgate.v1 import task_pb2, task_service_pb2, task_update_pb2
from taskgate_server.services.deadline import listing, summary
from taskgate_server.services.deadline.parents import LifecycleKind
from taskgate_server.services.deadline.spec import SPEC
from taskgate_server.tasks.backend import Action, Change, TaskBackend, set_fields
from taskgate_server.tasks.listing.pages import Cursor, Page
from taskgate_server.tasks.names import NameTemplate, Parent
from taskgate_server.tasks.states import State, state_of
from taskgate_server.upstream.options import CallOptions

NAMES: Final = NameTemplate(SPEC, "GetTask")

# The meaning of the values:
# https://docs.aws.amazon.com/deadline-cloud/latest/APIReference/API_GetTask.html
STATES: Final[Mapping[str, State]] = {
    "PENDING": task_pb2.TASK_STATE_PENDING,
    "READY": task_pb2.TASK_STATE_QUEUED,
    "ASSIGNED": task_pb2.TASK_STATE_QUEUED,
    "SCHEDULED": task_pb2.TASK_STATE_QUEUED,
    "STARTING": task_pb2.TASK_STATE_STARTING,
    "RUNNING": task_pb2.TASK_STATE_RUNNING,
    "INTERRUPTING": task_pb2.TASK_STATE_STOPPING,
    "SUSPENDED": task_pb2.TASK_STATE_SUSPENDED,
    "SUCCEEDED": task_pb2.TASK_STATE_SUCCEEDED,
    "FAILED": task_pb2.TASK_STATE_FAILED,
    "CANCELED": task_pb2.TASK_STATE_CANCELLED,
    "NOT_COMPATIBLE": task_pb2.TASK_STATE_BLOCKED,
}

JOBS: Final = LifecycleKind(operation="GetJob", status="taskRunStatus", states=STATES)
STEPS: Final = replace(JOBS, operation="GetStep")

NATIVE_FIELDS: Final = {
    "create_time": "created_at",
    "start_time": "started_at",
    "end_time": "ended_at",
    "update_time": "updated_at",
    "retry_count": "failure_retry_count",
}
"""See `TaskBackend.native_fields`."""

# https://docs.aws.amazon.com/deadline-cloud/latest/developerguide/build-jobs-modifying.html:
# PENDING queues a task again; it becomes READY once its dependencies are met.
TARGETS: Final[Mapping[Action, str]] = {
    task_update_pb2.TASK_ACTION_CANCEL: "CANCELED",
    task_update_pb2.TASK_ACTION_RETRY: "PENDING",
    task_update_pb2.TASK_ACTION_SUSPEND: "SUSPENDED",
}


class Tasks(TaskBackend):
    """The tasks of Deadline Cloud."""

    names = NAMES
    states = STATES
    native_fields = NATIVE_FIELDS
    summarized_kinds = ("jobs", "steps")
    parents = {"jobs": JOBS, "steps": STEPS}  # noqa: RUF012  # typed in the base class
    root_kind = "jobs"
    changes = {  # noqa: RUF012  # typed in the base class
        action: Change(operation="UpdateTask", params={"targetRunStatus": target})
        for action, target in TARGETS.items()
    }

    async def list_page(
        self,
        parent: Parent,
        cursor: Cursor,
        size: int,
        options: CallOptions,
        *,
        native_state: str | None = None,  # noqa: ARG002  # AWS cannot filter by it
    ) -> Page:
        """See `TaskBackend.list_page`."""
        read = {
            "queues": listing.queue_page,
            "jobs": listing.job_page,
            "steps": listing.step_page,
        }[parent.kind]
        return await read(self, parent, cursor, size, options)

    async def summarize(
        self, parent: Parent, options: CallOptions
    ) -> task_service_pb2.SummarizeTasksResponse:
        """See `TaskBackend.summarize`."""
        return await summary.summarize(self, parent, options)

    def to_task(self, response: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """See `TaskBackend.to_task`."""
        assert isinstance(native, deadline_pb2.GetTaskResponse)  # noqa: S101  # for mypy
        status, target = response.get("runStatus"), response.get("targetRunStatus")
        task = task_pb2.Task(
            state=state_of(status, STATES),
            native_state=status or "",
            deadline=native,
            **set_fields(native, NATIVE_FIELDS),
        )
        if target is not None:
            task.target_state = state_of(target, STATES)
        for parameter, value in native.parameters.items():
            kind = value.WhichOneof("value")
            text = {kind: getattr(value, kind)} if kind else {}
            task.parameters[parameter].CopyFrom(task_pb2.TaskParameter(**text))
        return task
