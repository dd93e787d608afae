"""The engine of a run: it creates tasks when their dependencies are COMPLETED, and ends the run.

A call of the workflow is a row until it is COMPLETED, with the number of calls that it still waits
for; a run without remaining calls has succeeded. Only the current attempt is scheduled, so a test,
CancelRun or a timeout may intervene at any point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.core.timeline import CHANGE_TIME, Change, planned
from taskgate_emulator.omics import events as omics_events
from taskgate_emulator.omics import logs as omics_logs
from taskgate_emulator.omics.behaviour import (
    ENDED,
    OPERATIONS,
    RUN,
    RUN_TASK,
    STARTING_SECONDS,
    attempt_plan,
    stop_run,
)
from taskgate_emulator.omics.cache import cached_uri, new_uri
from taskgate_emulator.omics.capacity import (
    ACTIVE_RUN,
    ACTIVE_TASK,
    WAITING_RUN,
    WAITING_TASK,
    group_runs,
    run_fits,
    task_fits,
    waiting_runs,
)
from taskgate_emulator.omics.failures import (
    SECONDS_TAG,
    SERVICE_ERROR,
    delete_failures,
    take_failure,
)
from taskgate_emulator.omics.instances import instance_type
from taskgate_emulator.workflows.definition import PlannedCall

__all__ = ["LOG_STREAMS", "REGISTERED_FIRST", "submit"]

LOG_STREAMS = "log-group:/aws/omics/WorkflowLog:log-stream"
"""The part of the ARNs of log streams after the account."""

REGISTERED_FIRST = (omics_events, omics_logs)
"""Listeners run in the order of their registration: these report a change before its effects."""

_CALL = "omics.RunCall"
_PENDING_SECONDS = 2.0
_TASK_SECONDS = 60.0
"""How long a task is RUNNING; definitions have no duration."""
_RETRIES = {"NEXTFLOW": 0}
"""Retries after SERVICE_ERROR by engine; the default is 2.

https://docs.aws.amazon.com/omics/latest/dev/workflow-run-tasks.html
"""
_MAX_SECONDS = 604_800
"""https://docs.aws.amazon.com/omics/latest/dev/service-quotas.html: maximum run duration."""


def submit(account: Account, run_id: str, record: Record, calls: Sequence[PlannedCall]) -> None:
    """Create a run, PENDING.

    Args:
        account: that will have the run.
        run_id: an unused id.
        record: the run as GetRun returns it.
        calls: the calls that it will make.
    """
    dependents: dict[int, list[str]] = {}
    for position, call in enumerate(calls):
        for other in call.after:
            dependents.setdefault(other, []).append(f"{position:06d}")
    for position, call in enumerate(calls):
        planned_call = {
            "name": call.name,
            "cpus": call.cpus,
            "memory": call.memory,
            "gpus": call.gpus,
            "image": call.image,
            "digest": call.digest(),
            "waits": len(call.after),
            "dependents": dependents.get(position, []),
            "attempts": 0,
        }
        account.put(_CALL, (run_id, f"{position:06d}"), planned_call)
    moment = account.now + timedelta(seconds=_PENDING_SECONDS / account.speed)
    account.put(RUN, (run_id,), record, (Change(moment, {}, "omics.run_waits"),))


@OPERATIONS.on_timer("omics.run_waits")
def queue_run(account: Account, key: Key, _at: datetime) -> None:
    """Queue a run for capacity."""
    run = account.table(RUN).record(key)
    if run is not None:
        waiting = {
            "priority": run.get("priority", 0),
            "group": run.get("runGroupId"),
            "storage": run["storageType"],
        }
        account.put(WAITING_RUN, key, waiting)
    _start_runs(account)


@OPERATIONS.on_timer("omics.run_runs")
def run_started(account: Account, key: Key, at: datetime) -> None:
    """Start the engine of a run that is RUNNING."""
    run = account.table(RUN).record(key)
    if run is None:
        return
    (run_id,) = key
    if run.get("_failure"):
        _fail(account, run_id, "WORKFLOW_RUN_FAILED", run["_failure"])
        return
    limit = timedelta(seconds=_seconds_allowed(account, run) / account.speed)
    account.put(RUN, key, run, (Change(at + limit, {}, "omics.run_is_late"),))
    for position, call in list(account.table(_CALL).records(run_id)):
        if not call["waits"]:
            _create_task(account, run_id, position, call)
    _continue_run(account, run_id)


@OPERATIONS.on_timer("omics.run_is_late")
def time_out_run(account: Account, key: Key, _at: datetime) -> None:
    """Fail a run that has exceeded its maximum duration."""
    run = account.table(RUN).record(key)
    if run is not None and run["status"] == "RUNNING":
        minutes = round(_seconds_allowed(account, run) / 60)
        _fail(account, key[0], "RUN_TIMED_OUT", f"Run timed out after {minutes} minutes.")


@OPERATIONS.on_change(RUN_TASK)
def task_changed(account: Account, transition: Transition) -> None:
    """Continue a run when one of its tasks has ended."""
    before, after, key = transition.before, transition.after, transition.key
    if after is None or after["status"] not in ENDED or "_call" not in after:
        return
    if before is not None and before["status"] == after["status"]:
        return
    account.delete(WAITING_TASK, key)
    account.delete(ACTIVE_TASK, key)
    run = account.table(RUN).record(key[:1])
    if run is None or run["status"] != "RUNNING":
        return
    if after["status"] == "COMPLETED":
        _complete(account, key[0], after["_call"])
    else:
        _retry_or_fail(account, key[0], run, after)
    _continue_run(account, key[0])


@OPERATIONS.on_change(RUN)
def run_changed(account: Account, transition: Transition) -> None:
    """Release the capacity of a run that stops."""
    after, key = transition.after, transition.key
    if after is not None and after["status"] not in ENDED | {"STOPPING"}:
        return
    (run_id,) = key
    account.delete(WAITING_RUN, key)
    for kind in (WAITING_TASK, _CALL):
        for name in account.table(kind).ids(run_id):
            account.delete(kind, (run_id, name))
    if after is None or after["status"] in ENDED:
        delete_failures(account, run_id)
        active = account.table(ACTIVE_RUN).record(key)
        for name in account.table(ACTIVE_TASK).ids(run_id):
            account.delete(ACTIVE_TASK, (run_id, name))
        if active is not None:
            account.delete(ACTIVE_RUN, key)
            _start_runs(account)
            for other in list(group_runs(account, active["group"])):
                _start_tasks(account, other)


def _start_runs(account: Account) -> None:
    for run_id, waiting in waiting_runs(account):
        if not run_fits(account, waiting):
            continue
        key = (run_id,)
        account.delete(WAITING_RUN, key)
        account.put(ACTIVE_RUN, key, waiting)
        starting, running = planned(
            account.now,
            account.speed,
            [
                (0.0, {"status": "STARTING"}),
                (STARTING_SECONDS, {"status": "RUNNING", "startTime": CHANGE_TIME}),
            ],
        )
        changes = (starting, replace(running, timer="omics.run_runs"))
        account.put(RUN, key, account.table(RUN).record(key) or {}, changes)


def _create_task(account: Account, run_id: str, position: str, call: Record) -> None:
    """Create the task of a call: PENDING, or a cache hit."""
    run = account.table(RUN).record((run_id,)) or {}
    task_id = _free_task_id(account)
    record: dict[str, Any] = {
        "taskId": task_id,
        "status": "PENDING",
        "name": call["name"],
        "creationTime": account.now,
        "cpus": call["cpus"],
        "memory": call["memory"],
        "gpus": call["gpus"],
        "_call": position,
        "_digest": call["digest"],
    }
    uri = cached_uri(account, run, call["digest"])
    if uri is not None:
        found = {
            "status": "COMPLETED",
            "cacheHit": True,
            "cacheS3Uri": uri,
            "stopTime": CHANGE_TIME,
        }
        changes = planned(account.now, account.speed, [(1.0, {"status": "STOPPING"}), (2.0, found)])
        account.put(RUN_TASK, (run_id, task_id), record, changes)
        return
    if "cacheId" in run:
        record |= {"cacheHit": False, "cacheS3Uri": new_uri(account, run, task_id)}
    account.put(RUN_TASK, (run_id, task_id), record)
    waiting = {"cpus": call["cpus"], "gpus": call["gpus"]}
    account.put(WAITING_TASK, (run_id, task_id), waiting)


def _continue_run(account: Account, run_id: str) -> None:
    run = account.table(RUN).record((run_id,))
    if run is None or run["status"] != "RUNNING":
        return
    if not account.table(_CALL).size(run_id):
        stop_run(account, run_id, {"status": "COMPLETED"})
        return
    group = run.get("runGroupId")
    for each in [run_id] if group is None else list(group_runs(account, group)):
        _start_tasks(account, each)


def _start_tasks(account: Account, run_id: str) -> None:
    """Give capacity to the waiting tasks of a run, the oldest first."""
    queue = account.table(WAITING_TASK)
    while (task_id := queue.first(run_id)) is not None:
        key = (run_id, task_id)
        waiting = queue.record(key)
        if waiting is None or not task_fits(account, run_id, waiting):
            return
        account.delete(WAITING_TASK, key)
        account.put(ACTIVE_TASK, key, waiting)
        _run_task(account, key)


def _run_task(account: Account, key: Key) -> None:
    run = account.table(RUN).record(key[:1]) or {}
    record = account.table(RUN_TASK).record(key) or {}
    call = account.table(_CALL).record((key[0], record["_call"])) or {}
    instance = instance_type(record["cpus"], record["memory"], record["gpus"])
    if instance is None:
        end: Mapping[str, Any] | None = {
            "status": "FAILED",
            "failureReason": "INVALID_TASK_RESOURCE_VALUE",
            "statusMessage": "No instance has as many CPUs, GPUs or as much memory.",
        }
    else:
        end = take_failure(account, key[0], record["name"])
    plan = attempt_plan(
        start=0.0,
        seconds=float(run.get("tags", {}).get(SECONDS_TAG, _TASK_SECONDS)),
        at_start=_capacity_members(account, key, run, call.get("image"), instance),
        at_end=end,
    )
    account.put(RUN_TASK, key, record, planned(account.now, account.speed, plan))


def _capacity_members(
    account: Account, key: Key, run: Record, image: str | None, instance: str | None
) -> dict[str, Any]:
    """Return the members that a task gets with its instance."""
    run_id, task_id = key
    name = f"{run.get('uuid')} {task_id}".encode()
    known: dict[str, Any] = {"uuid": str(UUID(bytes=sha256(name).digest()[:16], version=4))}
    if instance is not None:
        known["instanceType"] = instance
    if run.get("logLevel") != "OFF":
        known["logStream"] = account.arn("logs", f"{LOG_STREAMS}:run/{run_id}/task/{task_id}")
    if image is not None:
        digest = f"sha256:{sha256(image.encode()).hexdigest()}"
        known["imageDetails"] = {"image": image, "imageDigest": digest, "sourceImage": image}
    return known


def _complete(account: Account, run_id: str, position: str) -> None:
    """Delete a completed call, and create the tasks that waited for it last."""
    call = account.table(_CALL).record((run_id, position)) or {}
    account.delete(_CALL, (run_id, position))
    for dependent in call.get("dependents", ()):
        other = account.table(_CALL).record((run_id, dependent))
        if other is not None:
            account.update(_CALL, (run_id, dependent), waits=other["waits"] - 1)
            if other["waits"] == 1:
                _create_task(account, run_id, dependent, other)


def _retry_or_fail(account: Account, run_id: str, run: Record, task: Record) -> None:
    position = task["_call"]
    call = account.table(_CALL).record((run_id, position))
    if call is None:
        return
    retries = _RETRIES.get(run.get("_engine", ""), 2)
    if task.get("failureReason") == SERVICE_ERROR and call["attempts"] < retries:
        account.update(_CALL, (run_id, position), attempts=call["attempts"] + 1)
        _create_task(account, run_id, position, call)
        return
    message = f"Run failed because task {task['name']} ({task['taskId']}) failed."
    _fail(account, run_id, "RUN_TASK_FAILED", message)


def _fail(account: Account, run_id: str, reason: str, message: str) -> None:
    end = {"status": "FAILED", "failureReason": reason, "statusMessage": message}
    stop_run(account, run_id, end)


def _seconds_allowed(account: Account, run: Record) -> float:
    group = account.table("omics.RunGroup").record((run.get("runGroupId", ""),)) or {}
    minutes: float | None = group.get("maxDuration")
    return min(_MAX_SECONDS, minutes * 60) if minutes else _MAX_SECONDS


def _free_task_id(account: Account) -> str:
    # Long enough to make collisions improbable.
    return str(account.random.randrange(10**9, 10**10))
