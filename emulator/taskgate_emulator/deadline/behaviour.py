"""What the emulated operations of AWS Deadline Cloud do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskgate_emulator.core.errors import AwsError, not_found
from taskgate_emulator.core.operations import Call, Operations
from taskgate_emulator.core.paging import paginate
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.deadline.counts import TaskCountIndex, outcome, summarize_tasks
from taskgate_emulator.deadline.tasks import (
    FARM,
    JOB,
    QUEUE,
    STEP,
    TASK,
)

__all__ = ["OPERATIONS", "build_key", "item_error", "job_record", "require_record", "step_record"]

OPERATIONS = Operations("deadline")
OPERATIONS.index(TASK, TaskCountIndex)

_Response = dict[str, Any]
_Ids = Mapping[str, Any]

_CHAIN = (FARM, QUEUE, JOB, STEP, TASK)
_IDS = ("farmId", "queueId", "jobId", "stepId", "taskId")
_LABELS = {kind: _IDS[: position + 1] for position, kind in enumerate(_CHAIN)}


@OPERATIONS.register("GetFarm")
def get_farm(call: Call) -> Record:
    """One farm."""
    return require_record(call.account, FARM, call.params)


@OPERATIONS.register("ListFarms")
def list_farms(call: Call) -> _Response:
    """Every farm; memberships do not matter here, so `principalId` leaves none out."""
    return _page(call, "farms", FARM)


@OPERATIONS.register("GetQueue")
def get_queue(call: Call) -> Record:
    """One queue."""
    return require_record(call.account, QUEUE, call.params)


@OPERATIONS.register("ListQueues")
def list_queues(call: Call) -> _Response:
    """The queues of a farm."""
    wanted = call.params.get("status")
    return _page(
        call, "queues", QUEUE, lambda _, row: row if wanted in {None, row["status"]} else None
    )


@OPERATIONS.register("GetJob")
def get_job(call: Call) -> _Response:
    """One job, with the sums of its tasks."""
    record = require_record(call.account, JOB, call.params)
    return job_record(call.account, build_key(JOB, call.params), record)


@OPERATIONS.register("ListJobs")
def list_jobs(call: Call) -> _Response:
    """The jobs of a queue."""
    return _page(call, "jobs", JOB, lambda key, row: job_record(call.account, key, row))


@OPERATIONS.register("GetStep")
def get_step(call: Call) -> _Response:
    """One step, with the sums of its tasks."""
    record = require_record(call.account, STEP, call.params)
    return step_record(call.account, build_key(STEP, call.params), record)


@OPERATIONS.register("ListSteps")
def list_steps(call: Call) -> _Response:
    """The steps of a job."""
    return _page(call, "steps", STEP, lambda key, row: step_record(call.account, key, row))


@OPERATIONS.register("GetTask")
def get_task(call: Call) -> Record:
    """One task."""
    return require_record(call.account, TASK, call.params)


@OPERATIONS.register("ListTasks")
def list_tasks(call: Call) -> _Response:
    """The tasks of a step."""
    return _page(call, "tasks", TASK)


@OPERATIONS.register("BatchGetTask")
def batch_get_task(call: Call) -> _Response:
    """Many tasks; each that cannot be had is an error of its own among the others."""
    tasks, errors = [], []
    for ids in call.params["identifiers"]:
        try:
            tasks.append({**ids, **require_record(call.account, TASK, ids)})
        except AwsError as error:
            errors.append(item_error(ids, error))
    return {"tasks": tasks, "errors": errors}


def build_key(kind: str, ids: _Ids, *, inside: bool = True) -> Key:
    """The key of a farm, queue, job, step or task; or of its parent, with `inside` False."""
    labels = _LABELS[kind] if inside else _LABELS[kind][:-1]
    return tuple([ids[label] for label in labels])


def job_record(account: Account, key: Key, record: Record) -> _Response:
    """A job with the sums of its tasks."""
    steps = [(*key, step) for step in account.table(STEP).ids(*key)]
    return _with_sums(record, summarize_tasks(account, key, steps))


def step_record(account: Account, key: Key, record: Record) -> _Response:
    """A step with the sums of its tasks, and of the steps that it waits for and that wait."""
    job, step_id = key[:-1], key[-1]
    needs = [outcome(account, (*job, needed)) == "SUCCEEDED" for needed in record["_dependsOn"]]
    consumers = sum(
        step_id in other["_dependsOn"] for _, other in account.table(STEP).records(*job)
    )
    succeeded = outcome(account, key) == "SUCCEEDED"
    return {
        **_with_sums(record, summarize_tasks(account, key, [key])),
        "dependencyCounts": {
            "dependenciesResolved": needs.count(True),
            "dependenciesUnresolved": needs.count(False),
            "consumersResolved": consumers if succeeded else 0,
            "consumersUnresolved": 0 if succeeded else consumers,
        },
    }


def _with_sums(record: Record, sums_of_tasks: _Response) -> _Response:
    """A record with the sums; its target shows while a task is still on its way there."""
    moments = [record.get("updatedAt"), sums_of_tasks["updatedAt"]]
    updated = max([moment for moment in moments if moment is not None], default=None)
    interrupting = sums_of_tasks["taskRunStatusCounts"]["INTERRUPTING"]
    target = record.get("_target") if interrupting else None
    return {**record, **sums_of_tasks, "updatedAt": updated, "targetTaskRunStatus": target}


def item_error(ids: _Ids, error: AwsError) -> _Response:
    """What a batch says of an item that went wrong."""
    return {**ids, "code": error.code, "message": error.message}


def require_record(account: Account, kind: str, ids: _Ids) -> Record:
    """The record of a resource.

    Raises:
        AwsError: it does not exist; the error names the outermost that is missing.
    """
    record = account.table(kind).record(build_key(kind, ids))
    if record is not None:
        return record
    for outer in _CHAIN[: _CHAIN.index(kind)]:
        key = build_key(outer, ids)
        if account.table(outer).record(key) is None:
            raise not_found(_LABELS[outer][-1].removesuffix("Id"), key[-1])
    raise not_found(_LABELS[kind][-1].removesuffix("Id"), ids[_LABELS[kind][-1]])


def _page(
    call: Call,
    member: str,
    kind: str,
    row_of: Callable[[Key, Record], Record | None] = lambda _, record: record,
) -> _Response:
    scope = build_key(kind, call.params, inside=False)
    if scope:
        require_record(call.account, _CHAIN[len(scope) - 1], call.params)

    def rows_after(number: int) -> Iterator[tuple[int, Record]]:
        for name, row in call.account.table(kind).after(number, *scope):
            shown = row_of((*scope, name), row.timeline.record)
            if shown is not None:
                yield row.number, shown

    rows, token = paginate(call.operation, call.params, rows_after)
    return {member: rows, "nextToken": token}
