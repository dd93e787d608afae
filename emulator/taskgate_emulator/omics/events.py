"""The EventBridge events of HealthOmics: status changes of runs, tasks and workflows.

https://docs.aws.amazon.com/omics/latest/dev/eventbridge.html
"""

from __future__ import annotations

from typing import Any

from taskgate_emulator.core.state import Account, Record, Transition
from taskgate_emulator.omics.behaviour import OPERATIONS, RUN, RUN_TASK, arn_beside
from taskgate_emulator.omics.workflows import WORKFLOW

__all__ = ["send_event"]

_VERSION = "1.0.0"


@OPERATIONS.on_change(RUN)
@OPERATIONS.on_change(RUN_TASK)
@OPERATIONS.on_change(WORKFLOW)
def send_event(account: Account, transition: Transition) -> None:
    """Send the event of a changed status."""
    before, after = transition.before, transition.after
    if after is None or (before is not None and before["status"] == after["status"]):
        return
    if transition.kind == WORKFLOW:
        detail_type, detail = "Workflow Status Change", _workflow_detail(after)
    else:
        run = account.table(RUN).record(transition.key[:1])
        if run is None:
            return
        if transition.kind == RUN:
            detail_type, detail = "Run Status Change", _run_detail(after)
        else:
            detail_type, detail = "Task Status Change", _task_detail(run, after)
    arn: str = detail["arn"]
    filled = {name: value for name, value in detail.items() if value is not None}
    account.emit_event("aws.omics", detail_type, filled, at=transition.at, resources=(arn,))


def _run_detail(run: Record) -> dict[str, Any]:
    return {
        "omicsVersion": _VERSION,
        "arn": run["arn"],
        "status": run["status"],
        "uuid": run.get("uuid"),
        "runId": run["id"],
        "runName": run.get("name"),
        "runOutputUri": run.get("runOutputUri"),
        **_workflow(run),
    }


def _task_detail(run: Record, task: Record) -> dict[str, Any]:
    return {
        "omicsVersion": _VERSION,
        "arn": arn_beside(run["arn"], f"task/{task['taskId']}"),
        "status": task["status"],
        "runArn": run["arn"],
        "runUuid": run.get("uuid"),
        "runId": run["id"],
        "runName": run.get("name"),
        **_workflow(run),
    }


def _workflow(run: Record) -> dict[str, Any]:
    return {"workflowId": run.get("workflowId"), "workflowName": run.get("workflowName")}


def _workflow_detail(workflow: Record) -> dict[str, Any]:
    return {
        "omicsVersion": _VERSION,
        "arn": workflow["arn"],
        "status": workflow["status"],
        "uuid": workflow.get("uuid"),
        "workflowId": workflow["id"],
        "workflowName": workflow.get("name"),
    }
