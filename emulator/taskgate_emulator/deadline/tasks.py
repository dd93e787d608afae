"""How tasks of Deadline Cloud change their status: with time, and by UpdateTask.

With time, a task is READY, ASSIGNED, STARTING, RUNNING, and then has the end of its plan. AWS's
developer guide, "Modify a job in Deadline Cloud", defines the targets of UpdateTask. AWS publishes
no durations.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskgate_emulator.core.errors import AwsError, conflict
from taskgate_emulator.core.state import CALLER, Account, Key, Record
from taskgate_emulator.core.timeline import CHANGE_TIME, Change, planned

__all__ = [
    "FARM",
    "JOB",
    "ON_WORKER",
    "QUEUE",
    "RUN_SECONDS",
    "SETTLED",
    "STEP",
    "TASK",
    "run_plan",
    "status_members",
    "update_task",
    "update_tasks",
]

FARM, QUEUE, JOB = "deadline.Farm", "deadline.Queue", "deadline.Job"
STEP, TASK = "deadline.Step", "deadline.Task"
"""The kinds of rows; `_dependsOn` of a step has the ids of the steps that must succeed first."""

SETTLED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SUSPENDED", "NOT_COMPATIBLE"})
"""The statuses that a task keeps until a request changes them."""

RUN_SECONDS = 20.0
_INTERRUPT_SECONDS = 5.0

_REQUEUE = frozenset({"PENDING", "READY"})
ON_WORKER = frozenset({"STARTING", "RUNNING", "INTERRUPTING"})
_UNCHANGED: Mapping[str, frozenset[str]] = {
    "CANCELED": frozenset({"SUCCEEDED", "FAILED"}),
    "FAILED": frozenset({"SUCCEEDED"}),
    "SUSPENDED": frozenset({"SUCCEEDED", "CANCELED", "FAILED"}),
}
"""By target, the statuses that it does not change; SUCCEEDED changes all."""


def run_plan(
    session_action_id: str,
    *,
    ready: float = 0.0,
    waits: float = 2.0,
    seconds: float = RUN_SECONDS,
    end: Mapping[str, Any] | None = None,
) -> list[tuple[float, Mapping[str, Any]]]:
    """Return the plan of one attempt at a task.

    Args:
        session_action_id: of this attempt; the session's id is the part before the last dash.
        ready: when the task becomes READY.
        waits: how long it is READY.
        seconds: how long it is RUNNING.
        end: members that the end sets, by default those of a success.
    """
    assigned = ready + waits
    running = assigned + 5
    return [
        (ready, status_members("READY", targetRunStatus=None)),
        (assigned, status_members("ASSIGNED")),
        (assigned + 2, status_members("STARTING", latestSessionActionId=session_action_id)),
        (running, status_members("RUNNING", startedAt=CHANGE_TIME)),
        (running + seconds, {**status_members("SUCCEEDED", endedAt=CHANGE_TIME), **(end or {})}),
    ]


def update_task(account: Account, key: Key, target: str, now: datetime) -> None:
    """Perform UpdateTask.

    Args:
        account: that has the task.
        key: of the task.
        target: the target status.
        now: the time of the request.

    Raises:
        AwsError: the task's status does not allow the target.
    """
    account.apply_due(TASK, key)
    record = account.table(TASK).record(key)
    if record is None:
        raise KeyError(key)
    status = record["runStatus"]
    if _is_moving_to(record, target):
        return
    _check_transition(account.table(JOB).record(key[:-2]) or {}, key[-1], record, target)

    changed = {"updatedBy": CALLER, "targetRunStatus": target, "_queued": None}
    arrival: dict[str, Any] = {
        **status_members("PENDING" if target in _REQUEUE else target),
        **changed,
    }
    if target in _REQUEUE:
        arrival.update(startedAt=None, endedAt=None)
    elif record.get("startedAt") is not None and record.get("endedAt") is None:
        arrival["endedAt"] = CHANGE_TIME
    first = arrival
    changes: tuple[Change, ...] = ()
    if status in ON_WORKER:
        first = {**status_members("INTERRUPTING"), **changed}
        changes = planned(now, account.speed, [(_INTERRUPT_SECONDS, arrival)])
    (begun,) = planned(now, account.speed, [(0.0, first)])
    account.put(TASK, key, {**record, **begun.members}, changes)


def update_tasks(
    account: Account, steps: list[Key], target: str, now: datetime, *, except_for: Key | None = None
) -> None:
    """Update all tasks of some steps whose status allows the target.

    Args:
        account: that has the tasks.
        steps: of the tasks.
        target: the target status.
        now: the time of the request.
        except_for: a task to leave unchanged.
    """
    tasks = account.table(TASK)
    keys = [(*step, task) for step in steps for task in tasks.ids(*step)]
    # Queued tasks first, so that a released worker does not take one that is to be stopped.
    keys.sort(key=lambda key: (tasks.record(key) or {})["runStatus"] in {*ON_WORKER, "ASSIGNED"})
    for key in keys:
        if key != except_for:
            try:
                update_task(account, key, target, now)
            except AwsError:
                continue


def _is_moving_to(record: Mapping[str, Any], target: str) -> bool:
    status = record["runStatus"]
    if status == "INTERRUPTING":
        return record.get("targetRunStatus") == target
    return status == target or (target in _REQUEUE and status in _REQUEUE)


def _check_transition(job: Record, task_id: str, record: Mapping[str, Any], target: str) -> None:
    status = record["runStatus"]
    if status in _UNCHANGED.get(target, ()):
        raise conflict("task", task_id, f"A task that is {status} cannot become {target}")
    retries, maximum = record.get("failureRetryCount", 0), job["maxRetriesPerTask"]
    if target in _REQUEUE and status == "FAILED" and retries >= maximum:
        # "A task that has reached the maximum number of retries can't be requeued until this
        # value is increased", as the guide says of maxRetriesPerTask.
        raise conflict("task", task_id, f"The task has used all of its {maximum} retries")


def status_members(status: str, **members: Any) -> dict[str, Any]:
    """Return the members of a plan that set a task's status."""
    return {"runStatus": status, "updatedAt": CHANGE_TIME, **members}
