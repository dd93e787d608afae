"""Reads and cancellation of HealthOmics runs and their tasks.

A single task cannot be changed; only the run can be cancelled, together with its tasks. STOPPING
comes before every final status (developer guide, "HealthOmics run statuses").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskgate_emulator.core.errors import conflict, not_found
from taskgate_emulator.core.operations import Call, Operations
from taskgate_emulator.core.paging import list_rows
from taskgate_emulator.core.state import Account, Key, Record
from taskgate_emulator.core.timeline import CHANGE_TIME, planned

__all__ = [
    "ENDED",
    "OPERATIONS",
    "RUN",
    "RUN_TASK",
    "STARTING_SECONDS",
    "STOPPING_SECONDS",
    "arn_beside",
    "attempt_plan",
    "stop_run",
]

OPERATIONS = Operations("omics")

RUN, RUN_TASK = "omics.Run", "omics.RunTask"
"""The kinds of rows."""

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "DELETED"})
"""The final statuses: HealthOmics never restarts a run or task."""

STARTING_SECONDS = 6.0
STOPPING_SECONDS = 4.0

_RUN_FILTERS = ("name", "runGroupId", "batchId", "status")


def attempt_plan(
    *,
    start: float,
    seconds: float,
    at_start: Mapping[str, Any] | None = None,
    at_end: Mapping[str, Any] | None = None,
) -> list[tuple[float, Mapping[str, Any]]]:
    """Return the plan of a run, or of one attempt at a task, from STARTING to its end.

    Args:
        start: when it gets capacity.
        seconds: how long it is RUNNING.
        at_start: members that the capacity determines, such as the instance type.
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
    """Return a run."""
    return _run(call)


@OPERATIONS.register("ListRuns")
def list_runs(call: Call) -> Record:
    """Return the runs that match the filters."""
    filters = {name: call.params[name] for name in _RUN_FILTERS if name in call.params}

    def to_item(_: Key, run: Record) -> Record | None:
        return run if all(run.get(name) == value for name, value in filters.items()) else None

    return list_rows(call, "items", RUN, (), to_item)


@OPERATIONS.register("GetRunTask")
def get_run_task(call: Call) -> Record:
    """Return a task of a run."""
    _run(call)
    run_id, task_id = call.params["id"], call.params["taskId"]
    record = call.account.table(RUN_TASK).record((run_id, task_id))
    if record is None or record["creationTime"] > call.now:
        raise not_found("task", task_id)
    return record


@OPERATIONS.register("ListRunTasks")
def list_run_tasks(call: Call) -> Record:
    """Return the tasks of a run that the engine has created so far."""
    _run(call)
    status = call.params.get("status")

    def to_item(_: Key, task: Record) -> Record | None:
        exists = task["creationTime"] <= call.now
        return task if exists and status in {None, task["status"]} else None

    return list_rows(call, "items", RUN_TASK, (call.params["id"],), to_item)


@OPERATIONS.register("CancelRun")
def cancel_run(call: Call) -> Record:
    """Stop a run and its tasks."""
    account, run_id = call.account, call.params["id"]
    status = _run(call)["status"]
    if status in ENDED:
        raise conflict("run", run_id, f"A run that is {status} cannot be cancelled")
    timeline = account.table(RUN).timeline((run_id,))
    changes = timeline.changes if timeline is not None else ()
    if not any(change.members.get("status") == "CANCELLED" for change in changes):
        stop_run(account, run_id, {"status": "CANCELLED"})
    return {}


def stop_run(account: Account, run_id: str, end: Mapping[str, Any]) -> None:
    """Stop a run, and all its tasks that have not ended.

    Args:
        account: that has the run.
        run_id: of the run.
        end: the members that its end sets, the status included.
    """
    key = (run_id,)
    # First, so that its engine does not continue; then changes due at this very time are applied.
    account.put(RUN, key, {**(account.table(RUN).record(key) or {}), "status": "STOPPING"})
    account.advance(account.now)
    for task_id, task in list(account.table(RUN_TASK).records(run_id)):
        if task["creationTime"] > account.now:
            # The engine stops before it creates this task.
            account.delete(RUN_TASK, (run_id, task_id))
        elif task["status"] not in ENDED:
            _stop(account, RUN_TASK, (run_id, task_id), {"status": "CANCELLED"})
    # The run ends after its tasks, but at the same time.
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


def arn_beside(arn: str, path: str) -> str:
    """Return the ARN of another resource of the same service, region and account."""
    return f"{arn.rpartition(':')[0]}:{path}"
