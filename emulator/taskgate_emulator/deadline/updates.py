"""UpdateTask, UpdateStep and UpdateJob of Deadline Cloud, and their batches.

AWS's developer guide, "Modify a job in Deadline Cloud", defines each target: it applies to all
tasks of a step or job except those whose status it does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.state import CALLER
from taskgate_emulator.deadline.behaviour import OPERATIONS, build_key, item_error, require_record
from taskgate_emulator.deadline.tasks import JOB, STEP, TASK, update_task, update_tasks
from taskgate_emulator.deadline.workers import assign_tasks

_Response = dict[str, Any]
_Ids = Mapping[str, Any]

_NO_SETTINGS = frozenset({"farmId", "queueId", "jobId", "clientToken", "targetTaskRunStatus"})


@OPERATIONS.register("UpdateTask")
def update_one_task(call: Call) -> _Response:
    """Update a task."""
    _update_task(call, call.params)
    return {}


@OPERATIONS.register("BatchUpdateTask")
def batch_update_task(call: Call) -> _Response:
    """Update many tasks."""
    return _batch(call, "tasks", _update_task)


@OPERATIONS.register("UpdateStep")
def update_step(call: Call) -> _Response:
    """Update the tasks of a step."""
    require_record(call.account, STEP, call.params)
    key, target = build_key(STEP, call.params), call.params["targetTaskRunStatus"]
    changed = {"updatedAt": call.now, "updatedBy": CALLER, "_target": target}
    call.account.update(STEP, key, **changed)
    update_tasks(call.account, [key], target, call.now)
    return {}


@OPERATIONS.register("UpdateJob")
def update_one_job(call: Call) -> _Response:
    """Update a job's settings, and its tasks if there is a target."""
    _update_job(call, call.params)
    return {}


@OPERATIONS.register("BatchUpdateJob")
def batch_update_job(call: Call) -> _Response:
    """Update many jobs."""
    return _batch(call, "jobs", _update_job)


def _batch(call: Call, member: str, update: Callable[[Call, _Ids], None]) -> _Response:
    """Update each item; a failed item becomes one of `errors`."""
    errors = []
    for item in call.params[member]:
        try:
            update(call, item)
        except AwsError as error:
            errors.append(item_error(item, error))
    return {"errors": errors}


def _update_task(call: Call, item: _Ids) -> None:
    require_record(call.account, TASK, item)
    update_task(call.account, build_key(TASK, item), item["targetRunStatus"], call.now)


def _update_job(call: Call, item: _Ids) -> None:
    account = call.account
    require_record(account, JOB, item)
    key, target = build_key(JOB, item), item.get("targetTaskRunStatus")
    settings = {name: value for name, value in item.items() if name not in _NO_SETTINGS}
    changed = {"updatedAt": call.now, "updatedBy": CALLER, "_target": target}
    account.update(JOB, key, **settings, **changed)
    if target is not None:
        steps = [(*key, step) for step in account.table(STEP).ids(*key)]
        update_tasks(account, steps, target, call.now)
    assign_tasks(account, key[:2], call.now)
