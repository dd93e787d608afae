"""How tasks of Deadline Cloud move: by themselves, and when they are told to.

By themselves: READY, ASSIGNED, STARTING, RUNNING, and then the end that their plan has. When told:
what each target of UpdateTask does is in AWS's developer guide, "Modify a job in Deadline Cloud",
and how steps wait for each other in "How Deadline Cloud schedules jobs". Times are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Any

from taskgate_emulator.errors import conflict
from taskgate_emulator.state import CALLER, Account, Key, Record
from taskgate_emulator.timeline import MOMENT, Change, Timeline, planned

__all__ = [
    "FARM",
    "JOB",
    "QUEUE",
    "SETTLED",
    "STEP",
    "TASK",
    "hex_id",
    "reschedule",
    "run_plan",
    "step_succeeded",
    "update_task",
]

FARM, QUEUE, JOB = "deadline.Farm", "deadline.Queue", "deadline.Job"
STEP, TASK = "deadline.Step", "deadline.Task"
"""The kinds of rows; `_dependsOn` of a step has the ids of the steps that must succeed first."""

SETTLED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SUSPENDED", "NOT_COMPATIBLE"})
"""The statuses in which a task rests until somebody requeues it."""

RUN_SECONDS = 20.0
_INTERRUPT_SECONDS = 5.0
_STAGGER_SECONDS = 2.0
"""How long after each other the tasks of a step are taken: workers come one by one."""

_REQUEUE = frozenset({"PENDING", "READY"})
_ON_WORKER = frozenset({"STARTING", "RUNNING", "INTERRUPTING"})
_UNTOUCHED: Mapping[str, frozenset[str]] = {
    "CANCELED": frozenset({"SUCCEEDED", "FAILED"}),
    "FAILED": frozenset({"SUCCEEDED"}),
    "SUSPENDED": frozenset({"SUCCEEDED", "CANCELED", "FAILED"}),
}
"""The statuses that a target leaves as they are; SUCCEEDED leaves none."""


def hex_id(random: Random) -> str:
    """The part that makes an id of Deadline Cloud unique."""
    return f"{random.getrandbits(128):032x}"


def run_plan(
    session_action_id: str,
    *,
    ready: float = 0.0,
    waits: float = 2.0,
    seconds: float = RUN_SECONDS,
    end: Mapping[str, Any] | None = None,
) -> list[tuple[float, Mapping[str, Any]]]:
    """The plan of one attempt at a task.

    Args:
        session_action_id: of this attempt; the session is the part before the last dash.
        ready: when the task becomes READY.
        waits: how long it is READY before a worker takes it.
        seconds: how long it is RUNNING.
        end: members that the end sets, by default those of a success.
    """
    assigned = ready + waits
    running = assigned + 5
    return [
        (ready, _now_is("READY", targetRunStatus=None)),
        (assigned, _now_is("ASSIGNED")),
        (assigned + 2, _now_is("STARTING", latestSessionActionId=session_action_id)),
        (running, _now_is("RUNNING", startedAt=MOMENT)),
        (running + seconds, {**_now_is("SUCCEEDED", endedAt=MOMENT), **(end or {})}),
    ]


def update_task(account: Account, key: Key, target: str, now: datetime) -> None:
    """Do what UpdateTask does; `reschedule` the job afterwards.

    Args:
        account: whose speed rules.
        key: of the task.
        target: the status that is asked for.
        now: when it is told.

    Raises:
        AwsError: the task's status does not allow the target.
    """
    timeline = account.table(TASK).timeline(key)
    if timeline is None:
        raise KeyError(key)
    record = timeline.at(now)
    status = record["runStatus"]
    if _is_on_its_way(record, target):
        return
    _refuse(account.table(JOB).record(key[:-2]) or {}, key[-1], record, target)

    touched = {"updatedBy": CALLER, "targetRunStatus": target}
    arrival: dict[str, Any] = {**_now_is("PENDING" if target in _REQUEUE else target), **touched}
    if target in _REQUEUE:
        arrival.update(startedAt=None, endedAt=None)
    elif record.get("startedAt") is not None and record.get("endedAt") is None:
        arrival["endedAt"] = MOMENT
    plan = [(0.0, arrival)]
    if status in _ON_WORKER:
        plan = [(0.0, {**_now_is("INTERRUPTING"), **touched}), (_INTERRUPT_SECONDS, arrival)]
    account.put(TASK, key, record, planned(now, account.speed, plan))


def reschedule(account: Account, job: Key, now: datetime) -> None:
    """Plan the tasks that wait: after a change, another step may free or doom them."""
    for step_id, step in account.table(STEP).records(*job):
        outcomes = [_outcome(account, (*job, needed), now) for needed in step["_dependsOn"]]
        tasks = list(account.table(TASK).timelines(*job, step_id))
        for position, (task_id, timeline) in enumerate(tasks):
            waiting = _waiting(timeline, now)
            if waiting is not None:
                changes = waiting.changes + _resumption(account, waiting, outcomes, position)
                if changes != timeline.changes:
                    account.put(TASK, (*job, step_id, task_id), waiting.record, changes)


def step_succeeded(account: Account, step: Key) -> bool:
    """Whether every task of the step has succeeded."""
    tasks = account.table(TASK).records(*step)
    return all(task["runStatus"] == "SUCCEEDED" for _, task in tasks)


def _is_on_its_way(record: Mapping[str, Any], target: str) -> bool:
    status = record["runStatus"]
    if status == "INTERRUPTING":
        return record.get("targetRunStatus") == target
    return status == target or (target in _REQUEUE and status in _REQUEUE)


def _refuse(job: Record, task_id: str, record: Mapping[str, Any], target: str) -> None:
    status = record["runStatus"]
    if status in _UNTOUCHED.get(target, ()):
        raise conflict("task", task_id, f"A task that is {status} cannot become {target}")
    retries, most = record.get("failureRetryCount", 0), job["maxRetriesPerTask"]
    if target in _REQUEUE and status == "FAILED" and retries >= most:
        # "A task that has reached the maximum number of retries can't be requeued until this
        # value is increased", as the guide says of maxRetriesPerTask.
        raise conflict("task", task_id, f"The task has used all of its {most} retries")


def _waiting(timeline: Timeline, now: datetime) -> Timeline | None:
    """The timeline up to where its task is PENDING, if it is so now or will end so."""
    if timeline.value("runStatus", now) == "PENDING":
        return timeline.rewritten(now, ())
    if _final_status(timeline, now) == "PENDING":
        return timeline
    return None


def _resumption(
    account: Account,
    waiting: Timeline,
    outcomes: list[tuple[str, datetime] | None],
    position: int,
) -> tuple[Change, ...]:
    # From when it has waited, not from now: to plan twice must not delay anything.
    record = waiting.record
    start = waiting.last_change or record.get("updatedAt") or record["createdAt"]
    for outcome in outcomes:
        if outcome is None:
            return ()
        status, moment = outcome
        start = max(start, moment)
        if status != "SUCCEEDED":
            return planned(start, account.speed, [(0.0, _now_is("CANCELED"))])
    action = _next_session_action(account.random, record)
    plan = run_plan(action, ready=1.0, waits=(position + 1) * _STAGGER_SECONDS)
    return planned(start, account.speed, plan)


def _outcome(account: Account, step: Key, now: datetime) -> tuple[str, datetime] | None:
    """How and when the step ends, as far as it is planned; None while something is open."""
    tasks = [task for _, task in account.table(TASK).timelines(*step)]
    finals = {_final_status(task, now) for task in tasks}
    if not finals <= SETTLED - {"SUSPENDED"}:
        return None
    moments = [task.last_change or _ended(task, now) for task in tasks]
    return ("SUCCEEDED" if finals <= {"SUCCEEDED"} else "FAILED", max(moments, default=now))


def _ended(task: Timeline, now: datetime) -> datetime:
    moment: datetime = task.record.get("updatedAt") or now
    return moment


def _final_status(timeline: Timeline, now: datetime) -> str:
    status: str = timeline.value("runStatus", timeline.last_change or now)
    return status


def _next_session_action(random: Random, record: Mapping[str, Any]) -> str:
    latest: str | None = record.get("latestSessionActionId")
    if latest is None:
        return f"sessionaction-{hex_id(random)}-0"
    session, _, number = latest.rpartition("-")
    return f"{session}-{int(number) + 1}"


def _now_is(status: str, **members: Any) -> dict[str, Any]:
    return {"runStatus": status, "updatedAt": MOMENT, **members}
