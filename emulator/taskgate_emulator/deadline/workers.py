"""The simulated workers of Deadline Cloud: they take READY tasks, run them, and succeed or fail.

A worker runs one task at a time and keeps its session while it continues with the same job. Jobs
with higher priority come first, then older ones. `JobControl.simulate` sets how long tasks run and
how often they fail.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from taskgate_emulator.core.state import Account, Key, Transition
from taskgate_emulator.core.timeline import CHANGE_TIME, Change, planned
from taskgate_emulator.deadline.capabilities import can_run
from taskgate_emulator.deadline.counts import TaskCountIndex
from taskgate_emulator.deadline.fleets import (
    WORKER,
    fleets_of,
    idle_worker,
    may_have_worker,
    queues_of,
)
from taskgate_emulator.deadline.queues import is_blocked
from taskgate_emulator.deadline.sessions import SESSION, end_session, start_session
from taskgate_emulator.deadline.tasks import (
    JOB,
    ON_WORKER,
    RUN_SECONDS,
    STEP,
    TASK,
    status_members,
    update_tasks,
)

__all__ = ["FINISH", "assign_tasks", "finish_task", "on_task_change"]

FINISH = "deadline.finish"
"""The timer of a task whose run ends."""

_STARTING_SECONDS = 2.0
_RUNNING_SECONDS = 5.0
"""Seconds from the assignment of a task until it is STARTING and RUNNING."""


def on_task_change(account: Account, transition: Transition) -> None:
    """Assign a queued task, and release the worker of a task that has left it."""
    before, after = transition.before or {}, transition.after or {}
    if after.get("_queued"):
        assign_tasks(account, transition.key[:2], transition.at)
    on_worker = ON_WORKER | {"ASSIGNED"}
    if before.get("runStatus") in on_worker and after.get("runStatus") not in on_worker:
        fleet_and_worker = before.get("_worker")
        if fleet_and_worker is not None:
            worker = (transition.key[0], *fleet_and_worker)
            _release_worker(account, worker, transition.key, transition.at)


def assign_tasks(account: Account, queue: Key, at: datetime) -> None:
    """Assign queued tasks to idle workers until one of the two runs out."""
    fleets = [] if is_blocked(account, queue) else fleets_of(account, queue)
    # Most often all workers are busy, and to look for a task takes longer than to find that out.
    fleets = [fleet for fleet in fleets if may_have_worker(account, fleet)]
    while fleets:
        task = _next_task(account, queue, fleets[0])
        worker = None if task is None else idle_worker(account, fleets[0])
        if task is None or worker is None:
            fleets.pop(0)
        else:
            _assign(account, worker, task, at)


def finish_task(account: Account, key: Key, at: datetime) -> None:
    """End the run of a task with success, or with one of the simulated failures."""
    record = account.table(TASK).record(key) or {}
    failures = _simulated(account, key, "_failures", 0)
    if not failures:
        account.put(TASK, key, {**record, **_status("SUCCEEDED", at), "endedAt": at})
        return
    job = account.table(JOB).record(key[:3]) or {}
    retries = record.get("failureRetryCount") or 0
    failed = {**record, "_failures": failures - 1}
    if retries < job["maxRetriesPerTask"]:
        again = {"failureRetryCount": retries + 1, "startedAt": None, "_queued": True}
        account.put(TASK, key, {**failed, **_status("READY", at), **again})
        return
    # maxFailedTasksCount failures stop the job. Its other tasks are canceled first, so that the
    # worker of this task does not take one of them.
    count = account.index(TaskCountIndex).job(key[:3]).by_status["FAILED"] + 1
    if count >= job["maxFailedTasksCount"]:
        steps = [(*key[:3], step) for step in account.table(STEP).ids(*key[:3])]
        update_tasks(account, steps, "CANCELED", at, except_for=key)
    account.put(TASK, key, {**failed, **_status("FAILED", at), "endedAt": at})


def _status(status: str, at: datetime) -> dict[str, Any]:
    return {"runStatus": status, "updatedAt": at}


def _simulated(account: Account, task: Key, member: str, default: Any) -> Any:
    """Return a simulation setting of a task, else of its step, else of its job."""
    for kind, key in ((TASK, task), (STEP, task[:-1]), (JOB, task[:3])):
        value = (account.table(kind).record(key) or {}).get(member)
        if value is not None:
            return value
    return default


def _next_task(account: Account, queue: Key, fleet: Key) -> Key | None:
    """Return the next task for a worker of a fleet."""
    index = account.index(TaskCountIndex)
    best: tuple[int, Key] | None = None
    for step in index.ready_steps(queue):
        job = account.table(JOB).record(step[:3])
        if job is None or job["lifecycleStatus"] == "ARCHIVED":
            continue
        if best is not None and job["priority"] <= best[0]:
            continue
        if not _is_full(index, step[:3], job.get("maxWorkerCount")) and can_run(
            account, step, fleet
        ):
            best = (job["priority"], step)
    return None if best is None else (*best[1], next(iter(index.step(best[1]).ready)))


def _is_full(index: TaskCountIndex, job: Key, maximum: int | None) -> bool:
    counts = index.job(job).by_status
    return maximum is not None and 0 <= maximum <= sum(
        counts[word] for word in {*ON_WORKER, "ASSIGNED"}
    )


def _assign(account: Account, worker: Key, task: Key, at: datetime) -> None:
    session = _session_for(account, worker, task[:3], at)
    number = (account.table(SESSION).record(session) or {})["_next"]
    account.update(SESSION, session, _next=number + 1)
    account.update(WORKER, worker, status="RUNNING", _task=list(task), _session=list(session))
    action = f"sessionaction-{session[-1].removeprefix('session-')}-{number}"
    seconds = _simulated(account, task, "_seconds", RUN_SECONDS)
    plan = [
        (_STARTING_SECONDS, status_members("STARTING", latestSessionActionId=action)),
        (_RUNNING_SECONDS, status_members("RUNNING", startedAt=CHANGE_TIME)),
    ]
    end = at + timedelta(seconds=(_RUNNING_SECONDS + seconds) / account.speed)
    changes = (*planned(at, account.speed, plan), Change(end, {}, FINISH))
    record = account.table(TASK).record(task) or {}
    taken = {"_queued": None, "_worker": list(worker[1:])}
    account.put(TASK, task, {**record, **_status("ASSIGNED", at), **taken}, changes)


def _session_for(account: Account, worker: Key, job: Key, at: datetime) -> Key:
    """Return the worker's session with a job; end its session with another job."""
    current = (account.table(WORKER).record(worker) or {}).get("_session")
    if current is not None and tuple(current[:3]) == job:
        return tuple(current)
    if current is not None:
        end_session(account, tuple(current), at)
    session = (*job, f"session-{account.new_hex_id()}")
    start_session(account, job, session[-1], worker, at)
    return session


def _release_worker(account: Account, worker: Key, task: Key, at: datetime) -> None:
    record = account.table(WORKER).record(worker)
    if record is None or record.get("_task") != list(task):
        return
    account.update(WORKER, worker, status="IDLE", _task=None)
    for queue in queues_of(account, worker[:2]):
        assign_tasks(account, queue, at)
    record = account.table(WORKER).record(worker)
    if record is not None and record["_task"] is None and record["_session"] is not None:
        end_session(account, tuple(record["_session"]), at)
        account.update(WORKER, worker, _session=None)
