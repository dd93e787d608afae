"""Sessions and session actions of Deadline Cloud: they follow what their tasks do.

A task names its latest session action, and the name holds the session's: `sessionaction-<hex>-<n>`
is the n-th action of `session-<hex>`. A session's log lines are in the stream of its name, in the
log group of its queue, and those of an action between its start and its end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.core.timeline import Change
from taskgate_emulator.deadline.fleets import WORKER, fleets_of, some_worker
from taskgate_emulator.deadline.tasks import TASK

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
"""The wake of a session action that has got a part further."""

_PARTS = (25.0, 50.0, 75.0)
"""Percents of its run at which a task says how far it is."""
_STATUSES = {"STARTING": "ASSIGNED", "RUNNING": "RUNNING", "INTERRUPTING": "CANCELING"}
_ENDS = {"SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "READY": "FAILED"}
"""By what becomes of a task that nobody has stopped: READY is one that is tried again."""
_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})


def session_of(action: str) -> str:
    """The id of the session that a session action is of."""
    return f"session-{action.removeprefix('sessionaction-').rpartition('-')[0]}"


def start_session(account: Account, job: Key, session: str, worker: Key, at: datetime) -> None:
    """Begin a session of a worker with a job."""
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
    """End a session; nothing happens when it has ended before."""
    record = account.table(SESSION).record(session)
    if record is not None and record["lifecycleStatus"] != "ENDED":
        account.update(SESSION, session, lifecycleStatus="ENDED", endedAt=at, updatedAt=at)


def on_task_change(account: Account, transition: Transition) -> None:
    """Let a task's session action do what the task does."""
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
    """Write the log line of a session action that has got a part further."""
    record = account.table(SESSION_ACTION).record(key) or {}
    _write(account, key, at, f"openjd_progress: {record['progressPercent']}")


def _begin(account: Account, transition: Transition, key: Key) -> Record | None:
    """Make the action of a task that a worker has taken, and its session if it is the first.

    None when no fleet works for the queue: then no worker can have taken it.
    """
    *_, step, task = transition.key
    job, session = key[:3], session_of(key[-1])
    if account.table(SESSION).record((*job, session)) is None:
        fleets = fleets_of(account, job[:2])
        number = int(session.rpartition("-")[2][:8], 16)
        worker = some_worker(account, fleets[0], number) if fleets else None
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
    """Start the action; where the task's end is planned, its way there is told in the log."""
    task = account.table(TASK).timeline(transition.key)
    start = transition.at
    changes: list[Change] = []
    told = task is not None and bool(task.changes)
    if task is not None and told:
        whole = task.changes[0].at - start
        for percent in _PARTS:
            at = start + whole * percent / 100
            members = {"progressPercent": percent, "workerUpdatedAt": at}
            changes.append(Change(at, members, PROGRESS))
        _write(account, key, start, f"Running task {transition.key[-1]}")
        _write(account, key, start, "openjd_status: Starting")
    running = {**record, "status": "RUNNING", "startedAt": start, "workerUpdatedAt": start}
    running |= {"progressPercent": 0.0, "_told": told}
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
    if record.get("_told"):
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
