"""Reads of jobs, steps and tasks in Deadline Cloud, and what its other operations share.

Farms, queues, fleets and the like are plain resources: `core/generic.py` serves them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskgate_emulator.core.errors import AwsError, not_found
from taskgate_emulator.core.generic import list_plain
from taskgate_emulator.core.operations import Call, Operations
from taskgate_emulator.core.paging import list_rows
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.deadline.counts import TaskCountIndex, step_outcome, summarize_tasks
from taskgate_emulator.deadline.tasks import FARM, JOB, QUEUE, STEP, TASK

__all__ = ["OPERATIONS", "build_key", "item_error", "job_record", "require_record", "step_record"]

OPERATIONS = Operations("deadline")
OPERATIONS.index(TaskCountIndex, TASK)

_Ids = Mapping[str, Any]

_CHAIN = (FARM, QUEUE, JOB, STEP, TASK)
_IDS = ("farmId", "queueId", "jobId", "stepId", "taskId")
_LABELS = {kind: _IDS[: position + 1] for position, kind in enumerate(_CHAIN)}


@OPERATIONS.register("GetJob")
def get_job(call: Call) -> Record:
    """Return a job with the summary of its tasks."""
    record = require_record(call.account, JOB, call.params)
    return job_record(call.account, build_key(JOB, call.params), record)


@OPERATIONS.register("ListJobs")
def list_jobs(call: Call) -> Record:
    """Return the jobs of a queue."""
    return list_plain(call, lambda key, row: job_record(call.account, key, row))


@OPERATIONS.register("GetStep")
def get_step(call: Call) -> Record:
    """Return a step with the summary of its tasks."""
    record = require_record(call.account, STEP, call.params)
    return step_record(call.account, build_key(STEP, call.params), record)


@OPERATIONS.register("ListSteps")
def list_steps(call: Call) -> Record:
    """Return the steps of a job."""
    return _list(call, "steps", STEP, lambda key, row: step_record(call.account, key, row))


@OPERATIONS.register("GetTask")
def get_task(call: Call) -> Record:
    """Return a task."""
    return require_record(call.account, TASK, call.params)


@OPERATIONS.register("ListTasks")
def list_tasks(call: Call) -> Record:
    """Return the tasks of a step."""
    return _list(call, "tasks", TASK, lambda _, row: row)


def build_key(kind: str, ids: _Ids) -> Key:
    """Return the key of a farm, queue, job, step or task."""
    return tuple([ids[label] for label in _LABELS[kind]])


def job_record(account: Account, key: Key, record: Record) -> Record:
    """Return a job with the summary of its tasks."""
    steps = [(*key, step) for step in account.table(STEP).ids(*key)]
    return _with_summary(record, summarize_tasks(account, key, steps))


def step_record(account: Account, key: Key, record: Record) -> Record:
    """Return a step with the summary of its tasks and the counts of its dependencies."""
    job, step_id = key[:-1], key[-1]
    resolved = [
        step_outcome(account, (*job, needed)) == "SUCCEEDED" for needed in record["_dependsOn"]
    ]
    consumers = sum(
        step_id in other["_dependsOn"] for _, other in account.table(STEP).records(*job)
    )
    succeeded = step_outcome(account, key) == "SUCCEEDED"
    return {
        **_with_summary(record, summarize_tasks(account, key, [key])),
        "dependencyCounts": {
            "dependenciesResolved": resolved.count(True),
            "dependenciesUnresolved": resolved.count(False),
            "consumersResolved": consumers if succeeded else 0,
            "consumersUnresolved": 0 if succeeded else consumers,
        },
    }


def _with_summary(record: Record, summary: Record) -> Record:
    """Merge a record with its summary; the target is present while a task is INTERRUPTING."""
    times = [record.get("updatedAt"), summary["updatedAt"]]
    updated = max([time for time in times if time is not None], default=None)
    interrupting = summary["taskRunStatusCounts"]["INTERRUPTING"]
    target = record.get("_target") if interrupting else None
    return {**record, **summary, "updatedAt": updated, "targetTaskRunStatus": target}


def item_error(ids: _Ids, error: AwsError) -> dict[str, Any]:
    """Return the error of one item of a batch."""
    return {**ids, "code": error.code, "message": error.message}


def require_record(account: Account, kind: str, ids: _Ids) -> Record:
    """Return the record of a resource.

    Raises:
        AwsError: it does not exist; the error names the outermost resource that is missing.
    """
    record = account.table(kind).record(build_key(kind, ids))
    if record is not None:
        return record
    for outer in _CHAIN[: _CHAIN.index(kind)]:
        key = build_key(outer, ids)
        if account.table(outer).record(key) is None:
            raise not_found(_LABELS[outer][-1].removesuffix("Id"), key[-1])
    raise not_found(_LABELS[kind][-1].removesuffix("Id"), ids[_LABELS[kind][-1]])


def _list(
    call: Call, member: str, kind: str, to_item: Callable[[Key, Record], Record | None]
) -> Record:
    parent = _CHAIN[_CHAIN.index(kind) - 1]
    require_record(call.account, parent, call.params)
    return list_rows(call, member, kind, build_key(parent, call.params), to_item)
