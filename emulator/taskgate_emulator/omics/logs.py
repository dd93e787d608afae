"""The log streams of HealthOmics: of each task, the run, its engine, and the manifest.

Group and stream names are AWS's; the lines are simulated, as no tool runs. The manifest has one
JSON document for the run and one for each task. It is written when the run has ended, in the form
that AWS's run analyzer reads.

https://docs.aws.amazon.com/omics/latest/dev/monitoring-cloudwatch-logs.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.omics.behaviour import ENDED, OPERATIONS, RUN, RUN_TASK, arn_beside

__all__ = ["GROUP", "write_lines"]

GROUP = "/aws/omics/WorkflowLog"

_RUN_WORDS = {"COMPLETED": "SUCCESS"}
"""The manifest's statuses of runs that differ from the API's.

Statuses of tasks are the API's, the only ones that the run analyzer's plot knows.
"""


@OPERATIONS.on_change(RUN, history=True)
@OPERATIONS.on_change(RUN_TASK, history=True)
def write_lines(account: Account, transition: Transition) -> None:
    """Write the log lines of a changed status of a run or task."""
    before, after = transition.before, transition.after
    if after is None or (before is not None and before["status"] == after["status"]):
        return
    run = account.table(RUN).record(transition.key[:1])
    if run is None or run.get("logLevel") == "OFF":
        return
    # Rows of a seed are created now, but their records have creation times in the past.
    at = min(transition.at, after["creationTime"]) if before is None else transition.at
    if transition.kind == RUN:
        _run_lines(account, transition.key[0], after, at)
    else:
        _task_lines(account, transition.key, run, after, at)


def _run_lines(account: Account, run_id: str, run: Record, at: datetime) -> None:
    status = run["status"]
    _write(account, f"run/{run_id}", at, f"Run {run_id} is {status}")
    engine = f"run/{run_id}/engine"
    if status == "RUNNING":
        _write(account, engine, at, f"Workflow {run['workflowId']} starts")
        for name, value in sorted((run.get("parameters") or {}).items()):
            _write(account, engine, at, f"Input {name} = {json.dumps(value, default=str)}")
        for estimate in run.get("_estimates", ()):
            _write(account, engine, at, f"The emulator estimates for {estimate}")
    if status not in ENDED or status == "DELETED":
        return
    if "failureReason" in run:
        _write(account, engine, at, f"{run['failureReason']}: {run.get('statusMessage', '')}")
    _write(account, engine, at, f"Workflow {run['workflowId']} ended: {status}")
    tasks = [task for _, task in account.table(RUN_TASK).records(run_id)]
    manifest = f"manifest/run/{run_id}/{run['uuid']}"
    _write(account, manifest, at, _json(_run_entry(run, tasks)))
    for task in tasks:
        _write(account, manifest, at, _json(_task_entry(run, task)))


def _task_lines(account: Account, key: Key, run: Record, task: Record, at: datetime) -> None:
    run_id, task_id = key
    name, status = task["name"], task["status"]
    _write(account, f"run/{run_id}", at, f"Task {name} ({task_id}) is {status}")
    if status == "PENDING":
        _write(account, f"run/{run_id}/engine", at, f"Task {name} ({task_id}) is submitted")
    if task.get("cacheHit") and status == "COMPLETED":
        cache = f"runCache/{run['cacheId']}/{uuid5(NAMESPACE_URL, run['cacheId'])}"
        hit = {"event": "CACHE_HIT", "run": run_id, "task": task_id, "uri": task["cacheS3Uri"]}
        _write(account, cache, at, json.dumps(hit))
    if "startTime" not in task:
        return  # it has no output, so it has no stream
    stream = f"run/{run_id}/task/{task_id}"
    if status == "RUNNING":
        _write(account, stream, at, f"{name} starts on {task.get('instanceType', 'an instance')}")
    elif status == "STOPPING":
        _write(account, stream, at, f"{name} has ended")
    elif status == "FAILED":
        reason = task.get("failureReason", "it failed")
        _write(account, stream, at, f"{name}: {reason}: {task.get('statusMessage', '')}")


def _write(account: Account, stream: str, at: datetime, message: str) -> None:
    account.write_log(GROUP, stream, at, message)


def _run_entry(run: Record, tasks: list[Record]) -> dict[str, Any]:
    seconds = _seconds(run)
    storage = run.get("storageCapacity", 0)
    used = min(storage or 100.0, 10.0 * (1 + len(tasks)))
    metrics = {
        "runningSeconds": seconds,
        "storageMaximumGiB": used,
        "storageAverageGiB": used / 2,
        **({"storageReservedGiB": storage} if storage else {}),
    }
    members = {
        name: run[name]
        for name in (
            "arn",
            "digest",
            "engineVersion",
            "logLevel",
            "name",
            "outputUri",
            "parameters",
            "priority",
            "roleArn",
            "storageCapacity",
            "storageType",
            "uuid",
        )
        if name in run
    }
    links = {
        "workflow": arn_beside(run["arn"], f"workflow/{run['workflowId']}"),
        "runGroup": _link(run, "runGroup", run.get("runGroupId")),
        "run": _link(run, "run", run.get("runId") if run.get("runId") != run["id"] else None),
    }
    return {
        **members,
        **_times(run),
        **_filled(links),
        "status": _RUN_WORDS.get(run["status"], run["status"]),
        "metrics": metrics,
    }


def _task_entry(run: Record, task: Record) -> dict[str, Any]:
    members = {
        name: task[name]
        for name in (
            "cacheHit",
            "cpus",
            "failureReason",
            "gpus",
            "imageDetails",
            "instanceType",
            "memory",
            "name",
            "statusMessage",
            "uuid",
        )
        if name in task
    }
    entry = {
        "arn": arn_beside(run["arn"], f"task/{task['taskId']}"),
        "run": run["arn"],
        **members,
        **_times(task),
        "status": task["status"],
    }
    if "startTime" in task and "cpus" in task:
        entry["metrics"] = _task_metrics(task)
    return entry


def _task_metrics(task: Record) -> dict[str, float]:
    """Return a task's resource usage: a fraction of its resources, derived from its name."""
    share = 0.35 + 0.5 * sha256(task["name"].encode()).digest()[0] / 255
    cpus, memory = task["cpus"], task["memory"]
    return {
        "cpusReserved": cpus,
        "cpusMaximum": round(cpus * share, 3),
        "cpusAverage": round(cpus * share * 0.6, 3),
        "gpusReserved": task.get("gpus", 0),
        "memoryReservedGiB": memory,
        "memoryMaximumGiB": round(memory * share, 3),
        "memoryAverageGiB": round(memory * share * 0.7, 3),
        "runningSeconds": _seconds(task),
    }


def _times(record: Record) -> dict[str, str]:
    # The run analyzer expects that the entry of a cached task, which never ran, has no run times.
    all_names = ("creationTime", "startTime", "stopTime")
    names = all_names[:1] if record.get("cacheHit") else all_names
    return {name: _iso(record[name]) for name in names if name in record}


def _iso(moment: datetime) -> str:
    # With fractions of a second even if they are 0: the analyzer parses with %S.%f.
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _seconds(record: Record) -> float:
    if "startTime" not in record or "stopTime" not in record:
        return 0.0
    seconds: float = (record["stopTime"] - record["startTime"]).total_seconds()
    return seconds


def _link(run: Record, kind: str, name: str | None) -> str | None:
    return None if name is None else arn_beside(run["arn"], f"{kind}/{name}")


def _filled(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _json(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, default=str)
