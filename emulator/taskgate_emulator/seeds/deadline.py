"""The Deadline Cloud part of the demo: one job with three steps, each dependent on the last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from taskgate_emulator.core.state import Account
from taskgate_emulator.core.timeline import CHANGE_TIME, Plan, Timeline, planned
from taskgate_emulator.deadline.fleets import ASSOCIATION, FLEET
from taskgate_emulator.deadline.tasks import FARM, JOB, QUEUE, STEP, TASK, run_plan

FARM_ID = "farm-3f1c5a7e9b2d4068a1c3e5f708192a3b"
QUEUE_ID = "queue-7d2e4f60819a3b5c7d9e0f1a2b3c4d5e"
FLEET_ID = "fleet-9c1d2e3f405162738495a6b7c8d9eaf0"
"""Eight workers, which run whatever is requeued."""
JOB_ID = "job-042b1e5c8d7f4a93b60e2d4c6f8a0b1d"

SIMULATE_STEP_ID = "step-1a6c3e5f708b4d2c9e1f3a5b7c9d0e2f"
"""SUCCEEDED."""
RENDER_STEP_ID = "step-2b7d4f60819c5e3daf204b6c8d0e1f30"
"""In progress; three of its tasks wait for a user."""
COMPOSITE_STEP_ID = "step-3c8e50719a2d6f4eb0315c7d9e1f2041"
"""Waits for the render, and starts once every render task has succeeded."""

_SIMULATE_TASK = "task-4d9f6182ab3e705fc1426d8eaf203152-{}"
_RENDER_TASK = "task-5ea07293bc4f8160d2537e9fb0314263-{}"
_COMPOSITE_TASK = "task-6fb183a4cd509271e3648fa0c1425374-{}"

EVERY_PARAMETER_TASK_ID = _SIMULATE_TASK.format(0)
"""SUCCEEDED, with all five kinds of parameter."""
GREAT_NUMBERS_TASK_ID = _SIMULATE_TASK.format(1)
"""SUCCEEDED; an int beyond 64 bits, and a float with more digits than a double has."""
RETRIED_TASK_ID = _RENDER_TASK.format(1)
"""SUCCEEDED at the second attempt."""
FAILED_TASK_ID = _RENDER_TASK.format(2)
"""FAILED after a retry, set by a user; it has every member of GetTask's response."""
SUSPENDED_TASK_ID = _RENDER_TASK.format(3)
"""SUSPENDED by a user while RUNNING."""
CANCELED_TASK_ID = _RENDER_TASK.format(4)
"""CANCELED by a user before it started."""
RUNNING_TASK_ID = _RENDER_TASK.format(5)
"""RUNNING at the start, SUCCEEDED 45 seconds later."""
FLAKY_TASK_ID = _RENDER_TASK.format(7)
"""READY at the start; its first attempt fails, the service retries it, and it succeeds."""
PENDING_TASK_ID = _COMPOSITE_TASK.format(0)
"""PENDING; it has only the required members of GetTask's response."""

_CREATED_SECONDS = -2_400.0
_READY_SECONDS = -1_550.0
"""When the simulation ended and the render tasks became READY."""
_ARTIST = "arn:aws:sts::111122223333:assumed-role/Artists/mara"
_WRANGLER = "arn:aws:sts::111122223333:assumed-role/Wranglers/jonas"
_WAITING_RENDERS = (8, 9, 10, 11)

_Members = Mapping[str, Any]


def seed_deadline(account: Account) -> None:
    """Load the render farm into an account."""
    start = account.clock()
    created = {
        "createdAt": start + timedelta(seconds=_CREATED_SECONDS),
        "createdBy": _ARTIST,
    }
    queue = (FARM_ID, QUEUE_ID)
    job = (*queue, JOB_ID)
    account.put(FARM, (FARM_ID,), farm_record(start))
    account.put(QUEUE, queue, queue_record(start))
    account.put(FLEET, (FARM_ID, FLEET_ID), fleet_record(start))
    account.put(ASSOCIATION, (FARM_ID, f"{QUEUE_ID}/{FLEET_ID}"), association_record(start))
    account.put(JOB, job, {**_JOB, **created})
    steps: list[tuple[_Members, tuple[str, ...], dict[str, Timeline]]] = [
        (_SIMULATE, (), _simulate_tasks(account, created)),
        (_RENDER, (SIMULATE_STEP_ID,), _render_tasks(account, created)),
        (_COMPOSITE, (RENDER_STEP_ID,), _composite_tasks(created)),
    ]
    for record, needs, tasks in steps:
        step = (*job, record["stepId"])
        account.put(STEP, step, {**record, **created, "_dependsOn": needs})
        for task_id, task in tasks.items():
            account.put(TASK, (*step, task_id), task.record, task.changes)


def _simulate_tasks(account: Account, created: _Members) -> dict[str, Timeline]:
    parameters: list[_Members] = [
        {
            "Frame": {"int": "1001"},
            "Viscosity": {"float": "0.0013"},
            "Solver": {"string": "flip-høy"},
            "Cache": {"path": "/mnt/shots/042/sim/ocean.1001.vdb"},
            "Substeps": {"chunkInt": "1-8"},
        },
        {
            "Seed": {"int": "18446744073709551615"},
            "Gravity": {"float": "-9.806650000000000000123"},
        },
        {"Frame": {"int": "-12"}, "Solver": {"string": ""}},
        {"Substeps": {"chunkInt": "1,3,7-9"}},
    ]
    return dict(
        _task(
            account,
            _SIMULATE_TASK.format(position),
            {**created, "parameters": values},
            _attempt(account, ready=-2_300 + position * 20, seconds=300 + position * 15),
        )
        for position, values in enumerate(parameters)
    )


def _render_tasks(account: Account, created: _Members) -> dict[str, Timeline]:
    plans = {
        0: _attempt(account, ready=_READY_SECONDS, waits=50, seconds=400),
        1: _two_attempts(account, ready=_READY_SECONDS, first_seconds=90, second_seconds=500),
        2: _stopped(
            _two_attempts(
                account, ready=_READY_SECONDS, waits=150, first_seconds=200, second_seconds=900
            ),
            -900,
            "FAILED",
        ),
        3: _stopped(
            _attempt(account, ready=_READY_SECONDS, waits=550, seconds=900), -600, "SUSPENDED"
        ),
        4: [(_READY_SECONDS, _status("READY")), (-700, _told("CANCELED"))],
        5: _attempt(account, ready=_READY_SECONDS, waits=1_425, seconds=165),
        6: _attempt(account, ready=_READY_SECONDS, waits=2 - _READY_SECONDS, seconds=60),
        7: _two_attempts(
            account,
            ready=_READY_SECONDS,
            waits=5 - _READY_SECONDS,
            first_seconds=25,
            second_seconds=40,
        ),
        **{
            position: _attempt(
                account, ready=_READY_SECONDS, waits=25 * wait - _READY_SECONDS, seconds=50
            )
            for wait, position in enumerate(_WAITING_RENDERS, start=1)
        },
    }
    return dict(
        _task(
            account,
            _RENDER_TASK.format(position),
            {**created, "parameters": _render_parameters(position), "failureRetryCount": 0},
            plan,
        )
        for position, plan in plans.items()
    )


def _composite_tasks(created: _Members) -> dict[str, Timeline]:
    ids = [_COMPOSITE_TASK.format(position) for position in range(2)]
    return {
        task_id: Timeline({"taskId": task_id, "runStatus": "PENDING", **created}) for task_id in ids
    }


def _render_parameters(position: int) -> _Members:
    first = 1_001 + position * 10
    return {
        "Frames": {"chunkInt": f"{first}-{first + 9}"},
        "Camera": {"string": "shotcam"},
        "Output": {"path": f"/mnt/shots/042/beauty/beauty.{first}.exr"},
        "Exposure": {"float": f"{position / 8}"},
    }


def _task(account: Account, task_id: str, record: _Members, plan: Plan) -> tuple[str, Timeline]:
    start = {"taskId": task_id, "runStatus": "PENDING", **record}
    return task_id, Timeline(start, planned(account.clock(), account.speed, plan))


def _attempt(account: Account, *, ready: float, seconds: float, waits: float = 2.0) -> Plan:
    action = f"sessionaction-{account.new_hex_id()}-0"
    return run_plan(action, ready=ready, waits=waits, seconds=seconds)


def _two_attempts(
    account: Account,
    *,
    ready: float,
    first_seconds: float,
    second_seconds: float,
    waits: float = 2.0,
) -> Plan:
    session = f"sessionaction-{account.new_hex_id()}"
    failed = {"runStatus": "READY", "failureRetryCount": 1, "startedAt": None, "endedAt": None}
    first = run_plan(f"{session}-0", ready=ready, waits=waits, seconds=first_seconds, end=failed)
    again = first[-1][0]
    return first + run_plan(f"{session}-1", ready=again, seconds=second_seconds)[1:]


def _stopped(plan: Plan, seconds: float, status: str) -> Plan:
    """Return the plan up to a time at which a user sets the final status."""
    before = [step for step in plan if step[0] < seconds]
    return [*before, (seconds, {**_told(status), "endedAt": CHANGE_TIME})]


def _told(status: str) -> dict[str, Any]:
    return {**_status(status), "targetRunStatus": status, "updatedBy": _WRANGLER}


def _status(status: str) -> dict[str, Any]:
    return {"runStatus": status, "updatedAt": CHANGE_TIME}


def farm_record(start: datetime) -> _Members:
    """Return the farm as GetFarm returns it."""
    return {
        "farmId": FARM_ID,
        "displayName": "Northlight Pictures",
        "description": "Render farm of the Taskgate demo",
        "kmsKeyArn": "arn:aws:kms:us-west-2:111122223333:key/8c5f0b2a-41d3-4e6f-9a70-5b1c2d3e4f60",
        "costScaleFactor": 1.0,
        "createdAt": start - timedelta(days=90),
        "createdBy": _WRANGLER,
        "updatedAt": start - timedelta(days=12),
        "updatedBy": _WRANGLER,
    }


def queue_record(start: datetime) -> _Members:
    """Return the queue as GetQueue returns it."""
    return {
        "farmId": FARM_ID,
        "queueId": QUEUE_ID,
        "displayName": "Beauty",
        "description": "Final frames",
        "status": "SCHEDULING",
        "defaultBudgetAction": "NONE",
        "jobAttachmentSettings": {"s3BucketName": "northlight-jobs", "rootPrefix": "deadline"},
        "roleArn": "arn:aws:iam::111122223333:role/NorthlightQueue",
        "jobRunAsUser": {
            "posix": {"user": "render", "group": "render"},
            "runAs": "QUEUE_CONFIGURED_USER",
        },
        "createdAt": start - timedelta(days=90),
        "createdBy": _WRANGLER,
    }


def fleet_record(start: datetime) -> _Members:
    """Return the fleet as GetFleet returns it."""
    return {
        "farmId": FARM_ID,
        "fleetId": FLEET_ID,
        "displayName": "Linux renderers",
        "status": "ACTIVE",
        "autoScalingStatus": "STEADY",
        "workerCount": 0,
        "minWorkerCount": 0,
        "maxWorkerCount": 8,
        "configuration": {
            "customerManaged": {
                "mode": "EVENT_BASED_AUTO_SCALING",
                "workerCapabilities": {
                    "vCpuCount": {"min": 16},
                    "memoryMiB": {"min": 65_536},
                    "osFamily": "LINUX",
                    "cpuArchitectureType": "x86_64",
                },
            }
        },
        "roleArn": "arn:aws:iam::111122223333:role/NorthlightFleet",
        "createdAt": start - timedelta(days=90),
        "createdBy": _WRANGLER,
    }


def association_record(start: datetime) -> _Members:
    """Return the association as GetQueueFleetAssociation returns it."""
    return {
        "queueId": QUEUE_ID,
        "fleetId": FLEET_ID,
        "status": "ACTIVE",
        "createdAt": start - timedelta(days=90),
        "createdBy": _WRANGLER,
    }


_JOB: _Members = {
    "jobId": JOB_ID,
    "name": "Shot 042 beauty render",
    "description": "Ocean at dawn, final quality",
    "lifecycleStatus": "CREATE_COMPLETE",
    "lifecycleStatusMessage": "Job creation completed successfully",
    "priority": 60,
    "maxFailedTasksCount": 20,
    "maxRetriesPerTask": 3,
    "maxWorkerCount": -1,
    "parameters": {
        "Scene": {"path": "/mnt/shots/042/scene.usd"},
        "Samples": {"int": "512"},
        "Denoise": {"string": "on"},
    },
}

_SIMULATE: _Members = {
    "stepId": SIMULATE_STEP_ID,
    "name": "Simulate",
    "lifecycleStatus": "CREATE_COMPLETE",
}
_RENDER: _Members = {
    "stepId": RENDER_STEP_ID,
    "name": "Render",
    "description": "Ten frames a task",
    "lifecycleStatus": "CREATE_COMPLETE",
    "requiredCapabilities": {
        "attributes": [{"name": "attr.worker.os.family", "anyOf": ["linux"]}],
        "amounts": [{"name": "amount.worker.vcpu", "min": 16.0}],
    },
    "parameterSpace": {
        "parameters": [
            {
                "name": "Frames",
                "type": "CHUNK_INT",
                "chunks": {"defaultTaskCount": 10, "rangeConstraint": "CONTIGUOUS"},
            },
            {"name": "Camera", "type": "STRING"},
            {"name": "Output", "type": "PATH"},
            {"name": "Exposure", "type": "FLOAT"},
        ],
        "combination": "(Frames, Output, Exposure) * Camera",
    },
}
_COMPOSITE: _Members = {
    "stepId": COMPOSITE_STEP_ID,
    "name": "Composite",
    "lifecycleStatus": "CREATE_COMPLETE",
}
