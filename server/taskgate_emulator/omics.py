"""What the emulated operations of AWS HealthOmics do.

A task of a run cannot be told anything; only the run can be cancelled, and it takes its tasks with
it. STOPPING comes before every end, whichever it is (developer guide, "HealthOmics run statuses").
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskgate_emulator.errors import conflict, not_found
from taskgate_emulator.operations import Call, Operations
from taskgate_emulator.paging import page_of
from taskgate_emulator.state import Account, Run
from taskgate_emulator.timeline import MOMENT, Timeline, planned

__all__ = ["ENDED", "OPERATIONS", "STOPPING_SECONDS", "attempt_plan"]

OPERATIONS = Operations("omics")

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "DELETED"})
"""The statuses that last: HealthOmics starts nothing again."""

STOPPING_SECONDS = 4.0

_STARTING_SECONDS = 6.0
_RUN_FILTERS = ("name", "runGroupId", "batchId", "status")

_Answer = dict[str, Any]


def attempt_plan(
    *,
    start: float,
    seconds: float,
    at_start: Mapping[str, Any] | None = None,
    at_end: Mapping[str, Any] | None = None,
) -> list[tuple[float, Mapping[str, Any]]]:
    """The plan of a run, or of one attempt at a task, from STARTING to its end.

    Args:
        start: when capacity is found for it.
        seconds: how long it is RUNNING.
        at_start: members that become known with the capacity, such as the instance type.
        at_end: members that the end sets, by default those of a success.
    """
    running = start + _STARTING_SECONDS
    stopping = running + seconds
    return [
        (start, {"status": "STARTING", **(at_start or {})}),
        (running, {"status": "RUNNING", "startTime": MOMENT}),
        (stopping, {"status": "STOPPING"}),
        (
            stopping + STOPPING_SECONDS,
            {"status": "COMPLETED", "stopTime": MOMENT, **(at_end or {})},
        ),
    ]


@OPERATIONS.register("GetRun")
def get_run(call: Call) -> _Answer:
    """One run."""
    return _run(call).timeline.at(call.now)


@OPERATIONS.register("ListRuns")
def list_runs(call: Call) -> _Answer:
    """Every run, those that fit the filters."""
    runs = call.account.runs
    wanted = {name: call.params[name] for name in _RUN_FILTERS if name in call.params}

    def row(run_id: str) -> _Answer | None:
        record = runs[run_id].timeline.at(call.now)
        return record if all(record.get(name) == value for name, value in wanted.items()) else None

    rows, token = page_of(call.operation, call.params, list(runs), row)
    return {"items": rows, "nextToken": token}


@OPERATIONS.register("GetRunTask")
def get_run_task(call: Call) -> _Answer:
    """One task of a run."""
    task_id = call.params["taskId"]
    task = _run(call).tasks.get(task_id)
    record = _created(task, call.now) if task else None
    if record is None:
        raise not_found("task", task_id)
    return record


@OPERATIONS.register("ListRunTasks")
def list_run_tasks(call: Call) -> _Answer:
    """The tasks of a run, those that exist by now; the engine makes others as it goes on."""
    tasks = _run(call).tasks
    wanted = call.params.get("status")

    def row(task_id: str) -> _Answer | None:
        record = _created(tasks[task_id], call.now)
        return record if record and wanted in {None, record["status"]} else None

    rows, token = page_of(call.operation, call.params, list(tasks), row)
    return {"items": rows, "nextToken": token}


@OPERATIONS.register("CancelRun")
def cancel_run(call: Call) -> _Answer:
    """Stop a run and every task of it that has not ended."""
    run, account = _run(call), call.account
    status = run.timeline.value("status", call.now)
    if status in ENDED:
        raise conflict("run", call.params["id"], f"A run that is {status} cannot be cancelled")
    if _final_status(run.timeline, call.now) == "CANCELLED":
        return {}
    run.timeline = _cancelled(account, run.timeline, call.now)
    for task_id, task in list(run.tasks.items()):
        record = _created(task, call.now)
        if record is None:
            # The engine stops before it would have made this one.
            del run.tasks[task_id]
        elif record["status"] not in ENDED:
            run.tasks[task_id] = _cancelled(account, task, call.now)
    return {}


def _run(call: Call) -> Run:
    run_id = call.params["id"]
    run = call.account.runs.get(run_id)
    if run is None:
        raise not_found("run", run_id)
    return run


def _created(task: Timeline, now: datetime) -> _Answer | None:
    """The task as it is, unless it is yet to be created."""
    created: datetime = task.record["creationTime"]
    return task.at(now) if created <= now else None


def _cancelled(account: Account, timeline: Timeline, now: datetime) -> Timeline:
    plan: list[tuple[float, Mapping[str, Any]]] = [
        (0.0, {"status": "STOPPING"}),
        (STOPPING_SECONDS, {"status": "CANCELLED", "stopTime": MOMENT}),
    ]
    return timeline.rewritten(now, planned(now, account.speed, plan))


def _final_status(timeline: Timeline, now: datetime) -> str:
    status: str = timeline.value("status", timeline.last_change or now)
    return status
