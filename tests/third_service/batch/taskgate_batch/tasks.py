"""The jobs of AWS Batch as `Task`: the jobs of a queue, and the children of an array job."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.v1 import task_pb2, task_service_pb2, task_update_pb2
from taskgate_batch.spec import SPEC
from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.aws.paging import PagedOperation
from taskgate_server.tasks import summary
from taskgate_server.tasks.backend import Change, TaskBackend, TaskView
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.listing.pages import Cursor, Page
from taskgate_server.tasks.names import NameTemplate, Parent
from taskgate_server.tasks.parent_state import ParentKind, ParentState
from taskgate_server.tasks.states import State, state_of
from taskgate_server.upstream.options import CallOptions

NAMES: Final = NameTemplate(SPEC, "DescribeJobs")
LIST_JOBS: Final = PagedOperation(SPEC.name, "ListJobs")

_DETAIL: Any = model.load_service(SPEC.name).shape_for("JobDetail")

MAX_DESCRIBED: Final = 100
"""AWS's limit for the ids in a DescribeJobs request."""

# https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
STATES: Final[Mapping[str, State]] = {
    "SUBMITTED": task_pb2.TASK_STATE_PENDING,
    "PENDING": task_pb2.TASK_STATE_PENDING,
    "RUNNABLE": task_pb2.TASK_STATE_QUEUED,
    "STARTING": task_pb2.TASK_STATE_STARTING,
    "RUNNING": task_pb2.TASK_STATE_RUNNING,
    "SUCCEEDED": task_pb2.TASK_STATE_SUCCEEDED,
    "FAILED": task_pb2.TASK_STATE_FAILED,
}


def job_id(ids: Mapping[str, str]) -> str:
    """Return AWS's id of a job: the children of an array job have the id `array:index`."""
    return ids.get("jobId") or f"{ids['arrayJobId']}:{ids['index']}"


def list_params(parent: Parent, status: str) -> dict[str, Any]:
    """Return the parameters of ListJobs.

    Args:
        parent: a queue or an array job.
        status: of the jobs. Empty: all jobs of a queue. AWS lists the children of an array job by
            status only.
    """
    if parent.kind == "jobs":
        return {"arrayJobId": parent.params["arrayJobId"], "jobStatus": status}
    queue = {"jobQueue": parent.params["jobQueue"]}
    if status:
        return {**queue, "jobStatus": status}
    return {**queue, "filters": [{"name": "AFTER_CREATED_AT", "values": ["0"]}]}


def row_name(parent: Parent, row: Mapping[str, Any]) -> str:
    """Return the name of the job in a row of ListJobs.

    Raises:
        errors.TaskgateError: UNKNOWN, the row has no id.
    """
    ids = dict(parent.params)
    if parent.kind == "jobs":
        ids["index"] = str((row.get("arrayProperties") or {}).get("index", ""))
    else:
        ids["jobId"] = row.get("jobId") or ""
    try:
        return NAMES.format(ids)
    except KeyError:
        raise errors.UnreadableResponseError("ListJobs") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayJob(ParentKind):
    """An array job as the parent of its children."""

    def params(self, parent: Parent) -> Mapping[str, Any]:
        """See `ParentKind.params`."""
        return {"jobs": [parent.params["arrayJobId"]]}

    def read(self, name: str, response: Mapping[str, Any], observe_time: float) -> ParentState:
        """See `ParentKind.read`."""
        job = first_job(name, response)
        # `super()` does not work in a dataclass with slots.
        state = ParentKind.read(self, name, job, observe_time)
        return replace(state, state=job_state(job))


def first_job(name: str, response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the job in a response of DescribeJobs, which is empty for an unknown id.

    Raises:
        errors.TaskgateError: NOT_FOUND.
    """
    jobs: Sequence[Mapping[str, Any]] = response.get("jobs") or ()
    if not jobs or not is_named(name, jobs[0]):
        raise errors.task_not_found(name)
    return jobs[0]


def is_named(name: str, job: Mapping[str, Any]) -> bool:
    """Return whether a job is in the queue in its name: AWS finds it by its id alone."""
    return bool(name.split("/")[2] == str(job.get("jobQueue", "")).rpartition("/")[2])


def job_state(job: Mapping[str, Any]) -> State:
    """Return the state of a job: AWS reports a cancelled or terminated one as FAILED."""
    if job.get("status") == "FAILED" and (job.get("isCancelled") or job.get("isTerminated")):
        return task_pb2.TASK_STATE_CANCELLED
    return state_of(job.get("status"), STATES)


class Tasks(TaskBackend):
    """The jobs of AWS Batch."""

    names = NAMES
    states = STATES
    native_fields = {  # noqa: RUF012  # typed in the base class  # typed in the base class
        "display_name": "job_name",
        "status_message": "status_reason",
        "create_time": "created_at",
        "start_time": "started_at",
        "end_time": "stopped_at",
    }
    summarized_kinds = ("jobs",)
    parents = {  # noqa: RUF012  # typed in the base class  # typed in the base class
        "jobs": ArrayJob(
            operation="DescribeJobs", status="status", states=STATES, status_message="statusReason"
        )
    }
    root_kind = "jobs"
    ids_are_global = True
    changes = {  # noqa: RUF012  # typed in the base class
        task_update_pb2.TASK_ACTION_CANCEL: Change(
            operation="TerminateJob", params={"reason": "cancelled by Taskgate"}
        )
    }

    def read_params(self, ids: Mapping[str, str]) -> Mapping[str, Any]:
        """See `TaskBackend.read_params`."""
        return {"jobs": [job_id(ids)]}

    def write_params(self, ids: Mapping[str, str]) -> Mapping[str, Any]:
        """See `TaskBackend.write_params`."""
        return {"jobId": job_id(ids)}

    def read_task(self, name: str, aws_response: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `TaskBackend.read_task`."""
        return first_job(name, aws_response)

    @property
    def members(self) -> frozenset[str]:
        """See `TaskBackend.members`."""
        return frozenset(_DETAIL.members)

    def to_native(self, task: Mapping[str, Any]) -> Message:
        """See `TaskBackend.to_native`."""
        found: Message = self._to_native({"jobs": [task]}).jobs[0]  # type: ignore[attr-defined]  # its class is made by protoc
        return found

    async def get_many(
        self,
        names: Sequence[str],
        view: TaskView,  # noqa: ARG002  # AWS's responses are complete anyway
        options: CallOptions,
    ) -> list[task_pb2.Task | errors.TaskgateError]:
        """See `TaskBackend.get_many`; reads a hundred jobs in a call."""
        ids = {name: job_id(NAMES.parse(name, "name")) for name in names}
        found: dict[str, task_pb2.Task | errors.TaskgateError] = {}

        async def read(some: Sequence[str]) -> None:
            try:
                params = {"jobs": [ids[name] for name in some]}
                response = await self.gateway.call("DescribeJobs", params, options)
            except errors.TaskgateError as error:
                found.update(dict.fromkeys(some, error))
                return
            jobs = {job.get("jobId"): job for job in response.value.get("jobs", ())}
            for name in some:
                job = jobs.get(ids[name])
                found[name] = (
                    errors.task_not_found(name)
                    if job is None or not is_named(name, job)
                    else self.task(name, job, response.observe_time)
                )

        unique = list(dict.fromkeys(names))
        starts = range(0, len(unique), MAX_DESCRIBED)
        await asyncio.gather(*(read(unique[start : start + MAX_DESCRIBED]) for start in starts))
        return [found[name] for name in names]

    async def list_page(
        self,
        parent: Parent,
        cursor: Cursor,
        size: int,
        options: CallOptions,
        *,
        native_state: str | None = None,
    ) -> Page:
        """See `TaskBackend.list_page`. `cursor.child` is the status of an array job's children."""
        if parent.kind == "jobs":  # AWS ignores the queue in its name
            await self.parent_state(parent, options)
        statuses = [native_state or ""]
        if parent.kind == "jobs" and native_state is None:
            statuses = list(STATES)
        status = cursor.child or statuses[0]
        page, observe_time = await self.fetch_page(
            LIST_JOBS, list_params(parent, status), cursor.token, size, options
        )
        tasks = [self.task(row_name(parent, row), row, observe_time) for row in page.rows]
        after = statuses[statuses.index(status) + 1 :]
        following = Cursor(child=after[0]) if after else None
        if page.next_token:
            following = replace(cursor, token=page.next_token, skip=0)
        return Page(tasks=tasks, next=following, missing_fields=self.missing_fields(LIST_JOBS))

    async def summarize(
        self, parent: Parent, options: CallOptions
    ) -> task_service_pb2.SummarizeTasksResponse:
        """See `TaskBackend.summarize`: AWS counts the children of an array job."""
        kind = self.parents[parent.kind]
        response = await self.gateway.call(kind.operation, kind.params(parent), options)
        job = first_job(parent.name, response.value)
        state = kind.read(parent.name, response.value, response.observe_time)
        counts = (job.get("arrayProperties") or {}).get("statusSummary") or {}
        failed: list[str] = []
        if counts.get("FAILED"):
            params = list_params(parent, "FAILED")
            rows, _ = await self.read_rows(LIST_JOBS, params, options)
            failed = [row_name(parent, row) for row in rows[: summary.MAX_FAILED_TASKS]]
        return task_service_pb2.SummarizeTasksResponse(
            counts=summary.count_tasks(counts, STATES, state),
            first_start_time=_time(job, "startedAt"),
            failed_tasks=failed,
            display_name=job.get("jobName"),
            native_state=state.native_state,
            observe_time=to_timestamp(response.observe_time),
            parent_status=state.to_message(),
        )

    def to_task(self, aws_response: Mapping[str, Any], native: Message) -> task_pb2.Task:
        """See `TaskBackend.to_task`."""
        other = AnyMessage()
        other.Pack(native)
        return task_pb2.Task(
            state=job_state(aws_response),
            native_state=aws_response.get("status") or "",
            display_name=aws_response.get("jobName"),
            status_message=aws_response.get("statusReason"),
            other=other,
            create_time=_time(aws_response, "createdAt"),
            start_time=_time(aws_response, "startedAt"),
            end_time=_time(aws_response, "stoppedAt"),
        )


def _time(job: Mapping[str, Any], member: str) -> Timestamp | None:
    """Return a time, which AWS Batch sends as milliseconds since 1970."""
    milliseconds = job.get(member)
    if not milliseconds:  # AWS sends 0 for a time that has not come
        return None
    time = Timestamp()
    time.FromMilliseconds(int(milliseconds))
    return time
