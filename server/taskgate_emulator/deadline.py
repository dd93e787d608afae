"""What the emulated operations of AWS Deadline Cloud do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from taskgate_emulator.deadline_tasks import SETTLED, reschedule, step_succeeded, update_task
from taskgate_emulator.errors import AwsError, not_found
from taskgate_emulator.operations import Call, Operations
from taskgate_emulator.paging import page_of
from taskgate_emulator.state import Account, Farm, Job, Queue, Step
from taskgate_server.aws.model import enum_values, load_service

__all__ = ["OPERATIONS"]

OPERATIONS = Operations("deadline")

_Answer = dict[str, Any]
_Ids = Mapping[str, Any]
_T = TypeVar("_T")

_MOST_TELLING = (
    "RUNNING",
    "INTERRUPTING",
    "STARTING",
    "SCHEDULED",
    "ASSIGNED",
    "READY",
    "PENDING",
    "SUSPENDED",
    "FAILED",
    "NOT_COMPATIBLE",
    "CANCELED",
    "SUCCEEDED",
)
"""The status of a step or job is the first of these that one of its tasks has.

AWS does not publish its rule. This one says of a step that something is going on while there is,
and that it succeeded only when all of it did.
"""


@OPERATIONS.register("GetFarm")
def get_farm(call: Call) -> _Answer:
    """One farm."""
    return dict(_farm(call.account, call.params).record)


@OPERATIONS.register("ListFarms")
def list_farms(call: Call) -> _Answer:
    """Every farm; memberships do not matter here, so `principalId` leaves none out."""
    farms = call.account.farms
    return _page(call, "farms", farms, lambda key: farms[key].record)


@OPERATIONS.register("GetQueue")
def get_queue(call: Call) -> _Answer:
    """One queue."""
    return dict(_queue(call.account, call.params).record)


@OPERATIONS.register("ListQueues")
def list_queues(call: Call) -> _Answer:
    """The queues of a farm."""
    queues = _farm(call.account, call.params).queues
    wanted = call.params.get("status")

    def row(key: str) -> Mapping[str, Any] | None:
        record = queues[key].record
        return record if wanted in {None, record["status"]} else None

    return _page(call, "queues", queues, row)


@OPERATIONS.register("GetJob")
def get_job(call: Call) -> _Answer:
    """One job, with the sums of its tasks."""
    return _job_record(_job(call.account, call.params), call.now)


@OPERATIONS.register("ListJobs")
def list_jobs(call: Call) -> _Answer:
    """The jobs of a queue."""
    jobs = _queue(call.account, call.params).jobs
    return _page(call, "jobs", jobs, lambda key: _job_record(jobs[key], call.now))


@OPERATIONS.register("GetStep")
def get_step(call: Call) -> _Answer:
    """One step, with the sums of its tasks."""
    job = _job(call.account, call.params)
    return _step_record(job, _step(call.account, call.params), call.now)


@OPERATIONS.register("ListSteps")
def list_steps(call: Call) -> _Answer:
    """The steps of a job."""
    job = _job(call.account, call.params)
    return _page(call, "steps", job.steps, lambda key: _step_record(job, job.steps[key], call.now))


@OPERATIONS.register("GetTask")
def get_task(call: Call) -> _Answer:
    """One task."""
    return _task_record(call.account, call.params, call.now)


@OPERATIONS.register("ListTasks")
def list_tasks(call: Call) -> _Answer:
    """The tasks of a step."""
    tasks = _step(call.account, call.params).tasks
    return _page(call, "tasks", tasks, lambda key: tasks[key].at(call.now))


@OPERATIONS.register("BatchGetTask")
def batch_get_task(call: Call) -> _Answer:
    """Many tasks; each that cannot be had is an error of its own among the others."""
    tasks, errors = [], []
    for ids in call.params["identifiers"]:
        try:
            tasks.append({**ids, **_task_record(call.account, ids, call.now)})
        except AwsError as error:
            errors.append(_item_error(ids, error))
    return {"tasks": tasks, "errors": errors}


@OPERATIONS.register("UpdateTask")
def update_one_task(call: Call) -> _Answer:
    """Send a task towards another status."""
    reschedule(call.account, _update(call, call.params), call.now)
    return {}


@OPERATIONS.register("BatchUpdateTask")
def batch_update_task(call: Call) -> _Answer:
    """Send many tasks towards other statuses."""
    errors = []
    jobs: dict[str, Job] = {}
    for item in call.params["tasks"]:
        try:
            jobs[item["jobId"]] = _update(call, item)
        except AwsError as error:
            errors.append(_item_error(item, error))
    for job in jobs.values():
        reschedule(call.account, job, call.now)
    return {"errors": errors}


def _update(call: Call, item: _Ids) -> Job:
    job, step = _job(call.account, item), _step(call.account, item)
    _existing(step.tasks, item, "task")
    update_task(call.account, job, step, item, call.now)
    return job


def _item_error(ids: _Ids, error: AwsError) -> _Answer:
    return {**ids, "code": error.code, "message": error.message}


def _farm(account: Account, ids: _Ids) -> Farm:
    return _existing(account.farms, ids, "farm")


def _queue(account: Account, ids: _Ids) -> Queue:
    return _existing(_farm(account, ids).queues, ids, "queue")


def _job(account: Account, ids: _Ids) -> Job:
    return _existing(_queue(account, ids).jobs, ids, "job")


def _step(account: Account, ids: _Ids) -> Step:
    return _existing(_job(account, ids).steps, ids, "step")


def _existing(resources: Mapping[str, _T], ids: _Ids, kind: str) -> _T:
    resource_id = ids[f"{kind}Id"]
    try:
        return resources[resource_id]
    except KeyError:
        raise not_found(kind, resource_id) from None


def _task_record(account: Account, ids: _Ids, now: datetime) -> _Answer:
    return _existing(_step(account, ids).tasks, ids, "task").at(now)


def _job_record(job: Job, now: datetime) -> _Answer:
    tasks = [task.at(now) for step in job.steps.values() for task in step.tasks.values()]
    return {**job.record, **_sums(tasks)}


def _step_record(job: Job, step: Step, now: datetime) -> _Answer:
    step_id = step.record["stepId"]
    needs = [step_succeeded(job.steps[needed], now) for needed in step.depends_on]
    consumers = sum(step_id in other.depends_on for other in job.steps.values())
    succeeded = step_succeeded(step, now)
    return {
        **step.record,
        **_sums([task.at(now) for task in step.tasks.values()]),
        "dependencyCounts": {
            "dependenciesResolved": needs.count(True),
            "dependenciesUnresolved": needs.count(False),
            "consumersResolved": consumers if succeeded else 0,
            "consumersUnresolved": 0 if succeeded else consumers,
        },
    }


def _sums(tasks: list[_Answer]) -> _Answer:
    """What a step or job says of its tasks."""
    counts = Counter(task["runStatus"] for task in tasks)
    ended = bool(tasks) and counts.keys() <= SETTLED
    return {
        "taskRunStatus": next((word for word in _MOST_TELLING if counts[word]), "PENDING"),
        "taskRunStatusCounts": {word: counts[word] for word in _run_statuses()},
        "taskFailureRetryCount": sum(task.get("failureRetryCount") or 0 for task in tasks),
        "startedAt": min(_moments(tasks, "startedAt"), default=None),
        "endedAt": max(_moments(tasks, "endedAt"), default=None) if ended else None,
        "updatedAt": max(_moments(tasks, "updatedAt"), default=None),
    }


def _moments(tasks: list[_Answer], member: str) -> list[datetime]:
    return [moment for task in tasks if (moment := task.get(member)) is not None]


@cache
def _run_statuses() -> tuple[str, ...]:
    return tuple(enum_values(load_service("deadline").shape_for("TaskRunStatus")))


def _page(
    call: Call,
    member: str,
    resources: Mapping[str, object],
    row_of: Callable[[str], Mapping[str, Any] | None],
) -> _Answer:
    rows, token = page_of(call.operation, call.params, list(resources), row_of)
    return {member: rows, "nextToken": token}
