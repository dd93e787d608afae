"""The HealthOmics part of the demo: a germline run in progress, and one that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from taskgate_emulator.core.state import ACCOUNT_ID, REGION, Account
from taskgate_emulator.core.timeline import CHANGE_TIME, Plan, Timeline, planned
from taskgate_emulator.omics.behaviour import RUN, RUN_TASK, attempt_plan
from taskgate_emulator.seeds import ids
from taskgate_emulator.seeds.workflow import (
    CACHE_ID,
    CACHE_URI,
    WORKFLOW_NAME,
    seed_workflow,
)

_STARTING_TASK_ID = "6657065"
_ENDED_TASK_ID = "6640110"

_LOG_GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/aws/omics/WorkflowLog:log-stream"
_CACHE = f"{CACHE_URI}/{CACHE_ID}/0f6b5c1e"
_REGISTRY = f"{ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com"

_CPU: Mapping[str, Any] = {"instanceType": "omics.r.4xlarge"}
_GPU: Mapping[str, Any] = {"instanceType": "omics.g5.4xlarge"}

_STOPPING: Mapping[str, Any] = {"status": "STOPPING"}

_Members = Mapping[str, Any]


def seed_omics(account: Account) -> None:
    """Load the workflow and its runs into an account."""
    seed_workflow(account)
    _germline(account)
    _ended(account)


def _germline(account: Account) -> None:
    created = {"creationTime": account.clock() - timedelta(seconds=1_560)}
    record = {**run_record(ids.RUN_ID, "NA12878 germline", account), **created}
    plan = attempt_plan(start=-1_520, seconds=1_514 + 240)
    _put(account, ids.RUN_ID, record, plan, _germline_tasks(account))


def _put(
    account: Account, run_id: str, record: _Members, plan: Plan, tasks: list[tuple[str, Timeline]]
) -> None:
    account.put(RUN, (run_id,), record, planned(account.clock(), account.speed, plan))
    for task_id, timeline in tasks:
        account.put(RUN_TASK, (run_id, task_id), timeline.record, timeline.changes)


def _germline_tasks(account: Account) -> list[tuple[str, Timeline]]:
    cached = {
        "status": "COMPLETED",
        "cacheHit": True,
        "cacheS3Uri": f"{_CACHE}/{ids.CACHE_HIT_TASK_ID}",
        "stopTime": CHANGE_TIME,
    }
    failed = {
        "status": "FAILED",
        "failureReason": "SERVICE_ERROR",
        "statusMessage": "The instance stopped answering. The task is tried again as a new task.",
    }
    return [
        _task(
            account,
            ids.CACHE_HIT_TASK_ID,
            "FastQC",
            _made(2, 8),
            -1_480,
            [(-1_479, _STOPPING), (-1_478, cached)],
        ),
        _task(
            account,
            ids.CPU_TASK_ID,
            "BwaMem2",
            {**_made(16, 128), **_cache(ids.CPU_TASK_ID)},
            -1_470,
            attempt_plan(
                start=-1_440,
                seconds=600,
                at_start=_capacity_members(ids.CPU_TASK_ID, "bwa-mem2", _CPU),
            ),
        ),
        _task(
            account,
            ids.FAILED_RUN_TASK_ID,
            "DeepVariant",
            {**_made(16, 64, gpus=1), **_cache(ids.FAILED_RUN_TASK_ID)},
            -800,
            attempt_plan(
                start=-760,
                seconds=300,
                at_start=_capacity_members(ids.FAILED_RUN_TASK_ID, "deepvariant", _GPU),
                at_end=failed,
            ),
        ),
        _task(
            account,
            ids.GPU_TASK_ID,
            "DeepVariant",
            {**_made(16, 64, gpus=1), **_cache(ids.GPU_TASK_ID)},
            -440,
            attempt_plan(
                start=-400,
                seconds=394 + 90,
                at_start=_capacity_members(ids.GPU_TASK_ID, "deepvariant", _GPU),
            ),
        ),
        _task(
            account,
            _STARTING_TASK_ID,
            "HaplotypeCaller-chr20",
            {**_made(8, 32), **_cache(_STARTING_TASK_ID)},
            -30,
            attempt_plan(
                start=5, seconds=70, at_start=_capacity_members(_STARTING_TASK_ID, "gatk", _CPU)
            ),
        ),
        _task(
            account,
            ids.PENDING_RUN_TASK_ID,
            "MultiQC",
            {},
            -10,
            attempt_plan(
                start=100,
                seconds=40,
                at_start=_capacity_members(
                    ids.PENDING_RUN_TASK_ID, "multiqc", {**_CPU, **_made(4, 16)}
                ),
            ),
        ),
        _task(
            account,
            ids.LATER_TASK_ID,
            "MergeVcfs",
            _made(4, 16),
            120,
            attempt_plan(
                start=135, seconds=60, at_start=_capacity_members(ids.LATER_TASK_ID, "gatk", _CPU)
            ),
        ),
    ]


def _ended(account: Account) -> None:
    day = 86_400.0
    created = {"creationTime": account.clock() - timedelta(days=1)}
    record = {**run_record(ids.ENDED_RUN_ID, "NA12877 germline", account), **created}
    plan = attempt_plan(start=40 - day, seconds=5_000)
    task = _task(
        account,
        _ENDED_TASK_ID,
        "BwaMem2",
        _made(16, 128),
        90 - day,
        attempt_plan(
            start=120 - day,
            seconds=4_000,
            at_start=_capacity_members(_ENDED_TASK_ID, "bwa-mem2", _CPU, ids.ENDED_RUN_ID),
        ),
    )
    _put(account, ids.ENDED_RUN_ID, record, plan, [task])


def _task(
    account: Account, task_id: str, name: str, members: _Members, created: float, plan: Plan
) -> tuple[str, Timeline]:
    """Return a task that the engine creates at a second of the demo; history is negative."""
    seconds = created / account.speed if created > 0 else created
    record = {
        "taskId": task_id,
        "status": "PENDING",
        "name": name,
        "creationTime": account.clock() + timedelta(seconds=seconds),
        **members,
    }
    return task_id, Timeline(record, planned(account.clock(), account.speed, plan))


def _capacity_members(
    task_id: str, tool: str, instance: _Members, run_id: str = ids.RUN_ID
) -> _Members:
    """Return the members that a task gets with its instance."""
    return {
        **instance,
        "uuid": str(UUID(bytes=sha256(task_id.encode()).digest()[:16], version=4)),
        "logStream": f"{_LOG_GROUP}:run/{run_id}/task/{task_id}",
        "imageDetails": {
            "image": f"{_REGISTRY}/quay/biocontainers/{tool}:2.2.1",
            "imageDigest": f"sha256:{sha256(tool.encode()).hexdigest()}",
            "sourceImage": f"quay.io/biocontainers/{tool}:2.2.1",
        },
    }


def _made(cpus: int, memory: int, gpus: int = 0) -> dict[str, Any]:
    return {"cpus": cpus, "memory": memory, "gpus": gpus}


def _cache(task_id: str) -> dict[str, Any]:
    """Return the members of a cache miss, whose result the next run can reuse."""
    return {"cacheHit": False, "cacheS3Uri": f"{_CACHE}/{task_id}"}


def run_record(run_id: str, name: str, account: Account) -> _Members:
    """Return a PENDING run as GetRun returns it."""
    uuid = account.new_uuid()
    output = "s3://northlight-genomics/runs"
    return {
        "arn": account.arn("omics", f"run/{run_id}"),
        "id": run_id,
        "runId": run_id,
        "uuid": uuid,
        "name": name,
        "status": "PENDING",
        "cacheId": CACHE_ID,
        "cacheBehavior": "CACHE_ALWAYS",
        "workflowId": ids.WORKFLOW_ID,
        "workflowName": WORKFLOW_NAME,
        "workflowType": "PRIVATE",
        "roleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/NorthlightOmics",
        "priority": 10,
        "digest": "sha256:5f1d8a0c7b3e49261f0d5c8ab47e2f90",
        "parameters": {
            "sample": name.split(maxsplit=1)[0],
            "coverage": 30,
            "intervals": ["chr20", "chr21"],
        },
        "outputUri": output,
        "runOutputUri": f"{output}/{run_id}",
        "logLevel": "ALL",
        "logLocation": {
            "engineLogStream": f"{_LOG_GROUP}:run/{run_id}/engine",
            "runLogStream": f"{_LOG_GROUP}:run/{run_id}",
        },
        "startedBy": f"arn:aws:iam::{ACCOUNT_ID}:user/ines",
        "tags": {"study": "platinum"},
        "accelerators": "GPU",
        "retentionMode": "RETAIN",
        "storageType": "DYNAMIC",
        "networkingMode": "RESTRICTED",
    }
