"""Sessions and session actions of Deadline Cloud, which follow their tasks.

A task names its latest session action, whose id contains the session's: `sessionaction-<hex>-<n>`
is action n of `session-<hex>`. A session's log lines are in the stream of its name in the log group
of its queue; those of an action are between its start and its end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskgate_emulator.core.errors import not_found
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.paging import paginate
from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.core.timeline import Change
from taskgate_emulator.deadline.behaviour import OPERATIONS, require_record
from taskgate_emulator.deadline.fleets import FLEET, WORKER, fleets_of, worker_by_number
from taskgate_emulator.deadline.tasks import FARM, TASK

__all__ = [
    "PROGRESS",
    "SESSION",
    "SESSION_ACTION",
    "end_session",
    "on_task_change",
    "session_of",
    "start_session",
    "write_progress",
]

SESSION, SESSION_ACTION = "deadline.Session", "deadline.SessionAction"
"""The kinds of rows; `_next` of a session is the number of its next action."""

PROGRESS = "deadline.progress"
"""The timer of a session action's progress."""

_PARTS = (25.0, 50.0, 75.0)
"""The progress percentages that a running task reports."""
_STATUSES = {"STARTING": "ASSIGNED", "RUNNING": "RUNNING", "INTERRUPTING": "CANCELING"}
_ENDS = {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "READY": "FAILED"}
"""By the next status of a task that no request has stopped; READY is a retry."""
_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})


@OPERATIONS.register("ListSessionsForWorker")
def list_sessions_for_worker(call: Call) -> Record:
    """Return all sessions of a worker, whatever their jobs."""
    account, params = call.account, call.params
    require_record(account, FARM, params)
    worker = (params["farmId"], params["fleetId"], params["workerId"])
    if account.table(FLEET).record(worker[:2]) is None:
        raise not_found("fleet", worker[1])
    if account.table(WORKER).record(worker) is None:
        raise not_found("worker", worker[2])
    sessions = []
    for key in account.table(SESSION):
        row = account.table(SESSION).row(key)
        if row is not None and key[0] == worker[0]:
            record = row.timeline.record
            if (record["fleetId"], record["workerId"]) == worker[1:]:
                sessions.append((row.number, {**record, "queueId": key[1], "jobId": key[2]}))
    sessions.sort(key=lambda numbered: numbered[0])
    return paginate(
        call, "sessions", lambda number: (each for each in sessions if each[0] > number)
    )


def session_of(action: str) -> str:
    """Return the id of a session action's session."""
    return f"session-{action.removeprefix('sessionaction-').rpartition('-')[0]}"


def start_session(account: Account, job: Key, session: str, worker: Key, at: datetime) -> None:
    """Start a session of a worker with a job."""
    record = account.table(WORKER).record(worker) or {}
    account.put(
        SESSION,
        (*job, session),
        {
            "sessionId": session,
            "fleetId": worker[1],
            "workerId": worker[2],
            "startedAt": at,
            "lifecycleStatus": "STARTED",
            "log": {
                "logDriver": "awslogs",
                "options": {"logGroupName": _log_group(job), "logStreamName": session},
            },
            "hostProperties": record.get("hostProperties"),
            "workerLog": record.get("log"),
            "_next": 0,
        },
    )


def end_session(account: Account, session: Key, at: datetime) -> None:
    """End a session, if it has not ended."""
    record = account.table(SESSION).record(session)
    if record is not None and record["lifecycleStatus"] != "ENDED":
        account.update(SESSION, session, lifecycleStatus="ENDED", endedAt=at, updatedAt=at)


def on_task_change(account: Account, transition: Transition) -> None:
    """Update a task's session action."""
    before, after = transition.before or {}, transition.after or {}
    action = after.get("latestSessionActionId")
    if action is None or before.get("runStatus") == after["runStatus"]:
        return
    job = transition.key[:3]
    key = (*job, action)
    record = account.table(SESSION_ACTION).record(key)
    if record is None:
        record = _begin(account, transition, key)
    if record is None or record["status"] in _ENDED:
        return
    status = after["runStatus"]
    if status == "RUNNING":
        _run(account, key, record, transition)
    elif status in _STATUSES:
        account.put(SESSION_ACTION, key, {**record, "status": _STATUSES[status]})
    else:
        _end(account, key, record, transition)


def write_progress(account: Account, key: Key, at: datetime) -> None:
    """Write the log line of a session action's progress."""
    record = account.table(SESSION_ACTION).record(key) or {}
    _write(account, key, at, f"openjd_progress: {record['progressPercent']}")


def _begin(account: Account, transition: Transition, key: Key) -> Record | None:
    """Create the action of a task that a worker has taken, and its session if it is the first.

    Returns:
        The action, or None if the queue has no fleet and so no worker.
    """
    *_, step, task = transition.key
    job, session = key[:3], session_of(key[-1])
    if account.table(SESSION).record((*job, session)) is None:
        fleets = fleets_of(account, job[:2])
        number = int(session.rpartition("-")[2][:8], 16)
        worker = worker_by_number(account, fleets[0], number) if fleets else None
        if worker is None:
            return None
        start_session(account, job, session, worker, transition.at)
    after = transition.after or {}
    run = {"taskId": task, "stepId": step, "parameters": after.get("parameters") or {}}
    record = {
        "sessionActionId": key[-1],
        "sessionId": session,
        "taskId": task,
        "status": "ASSIGNED",
        "definition": {"taskRun": run},
    }
    account.put(SESSION_ACTION, key, record)
    return record


def _run(account: Account, key: Key, record: Record, transition: Transition) -> None:
    """Start an action; log its progress if the end of the task is scheduled."""
    task = account.table(TASK).timeline(transition.key)
    start = transition.at
    changes: list[Change] = []
    is_logged = task is not None and bool(task.changes)
    if task is not None and is_logged:
        duration = task.changes[0].at - start
        for percent in _PARTS:
            at = start + duration * percent / 100
            members = {"progressPercent": percent, "workerUpdatedAt": at}
            changes.append(Change(at, members, PROGRESS))
        _write(account, key, start, f"Running task {transition.key[-1]}")
        _write(account, key, start, "openjd_status: Starting")
    running = {**record, "status": "RUNNING", "startedAt": start, "workerUpdatedAt": start}
    running |= {"progressPercent": 0.0, "_logged": is_logged}
    account.put(SESSION_ACTION, key, running, tuple(changes))


def _end(account: Account, key: Key, record: Record, transition: Transition) -> None:
    after, at = transition.after or {}, transition.at
    stopped = record["status"] == "CANCELING" or after.get("targetRunStatus") is not None
    status = "CANCELED" if stopped else _ENDS.get(after["runStatus"], "CANCELED")
    ended: dict[str, Any] = {**record, "status": status, "endedAt": at, "workerUpdatedAt": at}
    if status == "SUCCEEDED":
        ended |= {"processExitCode": 0, "progressPercent": 100.0}
    elif status == "FAILED":
        ended |= {"processExitCode": 1, "progressMessage": "The command ended with exit code 1"}
    account.put(SESSION_ACTION, key, ended)
    if record.get("_logged"):
        code = ended.get("processExitCode")
        line = "Interrupted" if code is None else f"Process exited with code {code}"
        _write(account, key, at, line)
    task = account.table(TASK).timeline(transition.key)
    if "_worker" not in after and task is not None and not task.changes:
        end_session(account, (*key[:3], record["sessionId"]), at)


def _write(account: Account, action: Key, at: datetime, message: str) -> None:
    account.write_log(_log_group(action), session_of(action[-1]), at, message)


def _log_group(key: Key) -> str:
    return f"/aws/deadline/{key[0]}/{key[1]}"
