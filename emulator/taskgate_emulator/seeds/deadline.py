"""The Deadline Cloud part of the demo: one job with three steps, each dependent on the last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from taskgate_emulator.core.state import BUCKET, Account
from taskgate_emulator.core.timeline import CHANGE_TIME, Plan, Timeline, planned
from taskgate_emulator.deadline.fleets import ASSOCIATION, FLEET
from taskgate_emulator.deadline.tasks import FARM, JOB, QUEUE, STEP, TASK, run_plan
from taskgate_emulator.seeds import ids

_CREATED_SECONDS = -2_400.0
_READY_SECONDS = -1_550.0
"""When the simulation ended and the render tasks became READY."""
_ARTIST = "arn:aws:sts::111122223333:assumed-role/Artists/mara"
_WRANGLER = "arn:aws:sts::111122223333:assumed-role/Wranglers/jonas"
_BUCKET = "northlight-jobs"
_WAITING_RENDERS = (8, 9, 10, 11)

_Members = Mapping[str, Any]


def seed_deadline(account: Account) -> None:
    """Load the render farm into an account."""
    start = account.clock()
    created = {
        "createdAt": start + timedelta(seconds=_CREATED_SECONDS),
        "createdBy": _ARTIST,
    }
    queue = (ids.FARM_ID, ids.QUEUE_ID)
    job = (*queue, ids.JOB_ID)
    account.put(FARM, (ids.FARM_ID,), farm_record(start))
    account.put(QUEUE, queue, queue_record(start))
    account.put(BUCKET, (_BUCKET,), {"name": _BUCKET})
    account.put(FLEET, (ids.FARM_ID, ids.FLEET_ID), fleet_record(start))
    account.put(
        ASSOCIATION, (ids.FARM_ID, f"{ids.QUEUE_ID}/{ids.FLEET_ID}"), association_record(start)
    )
    account.put(JOB, job, {**_JOB, **created})
    steps: list[tuple[_Members, tuple[str, ...], dict[str, Timeline]]] = [
        (_SIMULATE, (), _simulate_tasks(account, created)),
        (_RENDER, (ids.SIMULATE_STEP_ID,), _render_tasks(account, created)),
        (_COMPOSITE, (ids.RENDER_STEP_ID,), _composite_tasks(created)),
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
            ids.SIMULATE_TASK_IDS.format(position),
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
        4: [(_READY_SECONDS, _status("READY")), (-700, _reported("CANCELED"))],
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
            ids.RENDER_TASK_IDS.format(position),
            {**created, "parameters": _render_parameters(position), "failureRetryCount": 0},
            plan,
        )
        for position, plan in plans.items()
    )


def _composite_tasks(created: _Members) -> dict[str, Timeline]:
    task_ids = [ids.COMPOSITE_TASK_IDS.format(position) for position in range(2)]
    return {
        task_id: Timeline({"taskId": task_id, "runStatus": "PENDING", **created})
        for task_id in task_ids
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
    return [*before, (seconds, {**_reported(status), "endedAt": CHANGE_TIME})]


def _reported(status: str) -> dict[str, Any]:
    return {**_status(status), "targetRunStatus": status, "updatedBy": _WRANGLER}


def _status(status: str) -> dict[str, Any]:
    return {"runStatus": status, "updatedAt": CHANGE_TIME}


def farm_record(start: datetime) -> _Members:
    """Return the farm as GetFarm returns it."""
    return {
        "farmId": ids.FARM_ID,
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
        "farmId": ids.FARM_ID,
        "queueId": ids.QUEUE_ID,
        "displayName": "Beauty",
        "description": "Final frames",
        "status": "SCHEDULING",
        "defaultBudgetAction": "NONE",
        "jobAttachmentSettings": {"s3BucketName": _BUCKET, "rootPrefix": "deadline"},
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
        "farmId": ids.FARM_ID,
        "fleetId": ids.FLEET_ID,
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
        "queueId": ids.QUEUE_ID,
        "fleetId": ids.FLEET_ID,
        "status": "ACTIVE",
        "createdAt": start - timedelta(days=90),
        "createdBy": _WRANGLER,
    }


_JOB: _Members = {
    "jobId": ids.JOB_ID,
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
    "stepId": ids.SIMULATE_STEP_ID,
    "name": "Simulate",
    "lifecycleStatus": "CREATE_COMPLETE",
}
_RENDER: _Members = {
    "stepId": ids.RENDER_STEP_ID,
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
    "stepId": ids.COMPOSITE_STEP_ID,
    "name": "Composite",
    "lifecycleStatus": "CREATE_COMPLETE",
}
