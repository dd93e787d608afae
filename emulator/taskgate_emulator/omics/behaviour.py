"""What the emulated operations of AWS HealthOmics do.

A task of a run cannot be told anything; only the run can be cancelled, and it takes its tasks with
it. STOPPING comes before every end, whichever it is (developer guide, "HealthOmics run statuses").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from taskgate_emulator.core.errors import conflict, not_found
from taskgate_emulator.core.operations import Call, Operations
from taskgate_emulator.core.paging import paginate
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.core.timeline import CHANGE_TIME, Timeline, planned

__all__ = [
    "ENDED",
    "OPERATIONS",
    "RUN",
    "RUN_TASK",
    "STARTING_SECONDS",
    "STOPPING_SECONDS",
    "attempt_plan",
    "stop_run",
]

OPERATIONS = Operations("omics")

RUN, RUN_TASK = "omics.Run", "omics.RunTask"
"""The kinds of rows."""

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "DELETED"})
"""The statuses that last: HealthOmics starts nothing again."""

STARTING_SECONDS = 6.0
STOPPING_SECONDS = 4.0

_RUN_FILTERS = ("name", "runGroupId", "batchId", "status")

_Response = dict[str, Any]


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
    running = start + STARTING_SECONDS
    stopping = running + seconds
    return [
        (start, {"status": "STARTING", **(at_start or {})}),
        (running, {"status": "RUNNING", "startTime": CHANGE_TIME}),
        (stopping, {"status": "STOPPING"}),
        (
            stopping + STOPPING_SECONDS,
            {"status": "COMPLETED", "stopTime": CHANGE_TIME, **(at_end or {})},
        ),
    ]


@OPERATIONS.register("GetRun")
def get_run(call: Call) -> Record:
    """One run."""
    return _run(call)


@OPERATIONS.register("ListRuns")
def list_runs(call: Call) -> _Response:
    """Every run, those that fit the filters."""
    wanted = {name: call.params[name] for name in _RUN_FILTERS if name in call.params}

    def rows_after(number: int) -> Iterator[tuple[int, Record]]:
        for _, row in call.account.table(RUN).after(number):
            record = row.timeline.record
            if all(record.get(name) == value for name, value in wanted.items()):
                yield row.number, record

    rows, token = paginate(call.operation, call.params, rows_after)
    return {"items": rows, "nextToken": token}


@OPERATIONS.register("GetRunTask")
def get_run_task(call: Call) -> Record:
    """One task of a run."""
    _run(call)
    run_id, task_id = call.params["id"], call.params["taskId"]
    record = call.account.table(RUN_TASK).record((run_id, task_id))
    if record is None or record["creationTime"] > call.now:
        raise not_found("task", task_id)
    return record


@OPERATIONS.register("ListRunTasks")
def list_run_tasks(call: Call) -> _Response:
    """The tasks of a run, those that exist by now; the engine makes others as it goes on."""
    _run(call)
    wanted = call.params.get("status")

    def rows_after(number: int) -> Iterator[tuple[int, Record]]:
        for _, row in call.account.table(RUN_TASK).after(number, call.params["id"]):
            record = row.timeline.record
            if record["creationTime"] <= call.now and wanted in {None, record["status"]}:
                yield row.number, record

    rows, token = paginate(call.operation, call.params, rows_after)
    return {"items": rows, "nextToken": token}


@OPERATIONS.register("CancelRun")
def cancel_run(call: Call) -> _Response:
    """Stop a run and every task of it that has not ended."""
    account, run_id = call.account, call.params["id"]
    status = _run(call)["status"]
    if status in ENDED:
        raise conflict("run", run_id, f"A run that is {status} cannot be cancelled")
    timeline = account.table(RUN).timeline((run_id,))
    if timeline is not None and _final_status(timeline, call.now) == "CANCELLED":
        return {}
    stop_run(account, run_id, {"status": "CANCELLED"})
    return {}


def stop_run(account: Account, run_id: str, end: Mapping[str, Any]) -> None:
    """Stop a run now, and every task of it that has not ended.

    Args:
        account: whose run it is.
        run_id: which.
        end: the members that its end sets, the status among them.
    """
    key = (run_id,)
    # First of all, so that nobody goes on with it; and what is due at this very moment has come.
    account.put(RUN, key, {**(account.table(RUN).record(key) or {}), "status": "STOPPING"})
    account.advance(account.now)
    for task_id, task in list(account.table(RUN_TASK).records(run_id)):
        if task["creationTime"] > account.now:
            # The engine stops before it would have made this one.
            account.delete(RUN_TASK, (run_id, task_id))
        elif task["status"] not in ENDED:
            _stop(account, RUN_TASK, (run_id, task_id), {"status": "CANCELLED"})
    # The run after its tasks, in the same moment: it is the last to end.
    _stop(account, RUN, key, end)


def _run(call: Call) -> Record:
    run_id = call.params["id"]
    record = call.account.table(RUN).record((run_id,))
    if record is None:
        raise not_found("run", run_id)
    return record


def _stop(account: Account, kind: str, key: Key, end: Mapping[str, Any]) -> None:
    record = {**(account.table(kind).record(key) or {}), "status": "STOPPING"}
    plan = [(STOPPING_SECONDS, {"stopTime": CHANGE_TIME, **end})]
    account.put(kind, key, record, planned(account.now, account.speed, plan))


def _final_status(timeline: Timeline, now: datetime) -> str:
    status: str = timeline.value("status", timeline.last_change or now)
    return status
