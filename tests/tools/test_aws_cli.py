"""The AWS CLI against the emulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taskgate_emulator import ManualClock
from taskgate_emulator.seeds.ids import FARM_ID, JOB_ID, QUEUE_ID, RENDER_STEP_ID, RETRIED_TASK_ID
from tests.support.omics_runs import WDL, zipped
from tests.tools.conftest import Program

pytestmark = pytest.mark.long

PARAMETERS = {"reads": ["s3://bucket/a", "s3://bucket/b"], "sample": "NA12878"}
START = (
    *("omics", "start-run", "--role-arn", "arn:aws:iam::111122223333:role/Omics"),
    *("--output-uri", "s3://bucket/runs", "--parameters", json.dumps(PARAMETERS)),
)


def run_cli(aws_cli: Program, *arguments: str) -> Any:
    return json.loads(aws_cli(*arguments, "--output", "json"))


def test_run_from_workflow_to_logs(aws_cli: Program, clock: ManualClock, tmp_path: Path) -> None:
    definition = tmp_path / "w.zip"
    definition.write_bytes(zipped(main_wdl=WDL))
    made = run_cli(
        aws_cli,
        *("omics", "create-workflow", "--name", "w", "--definition-zip", f"fileb://{definition}"),
    )
    assert made["status"] == "CREATING"
    clock.advance(3)
    aws_cli("omics", "wait", "workflow-active", "--id", made["id"])
    workflows = run_cli(aws_cli, "omics", "list-workflows")["items"]
    assert {row["id"]: row["status"] for row in workflows}[made["id"]] == "ACTIVE"

    run = run_cli(aws_cli, *START, "--workflow-id", made["id"])["id"]
    clock.advance(300)
    aws_cli("omics", "wait", "run-completed", "--id", run)
    assert run_cli(aws_cli, "omics", "get-run", "--id", run)["parameters"] == PARAMETERS
    tasks = run_cli(aws_cli, "omics", "list-run-tasks", "--id", run)["items"]
    assert [task["name"] for task in tasks] == ["Align-0-0", "Align-0-1", "Merge"]
    ids = ("--id", run, "--task-id", tasks[2]["taskId"])
    task = run_cli(aws_cli, "omics", "get-run-task", *ids)
    assert (task["status"], task["instanceType"]) == ("COMPLETED", "omics.g5.xlarge")

    group, _, stream = task["logStream"].partition(":log-group:")[2].partition(":log-stream:")
    place = ("--log-group-name", group, "--log-stream-name", stream)
    events = run_cli(aws_cli, "logs", "get-log-events", *place)["events"]
    assert "Merge" in events[0]["message"]


def test_run_is_cancelled(aws_cli: Program, clock: ManualClock) -> None:
    run = run_cli(aws_cli, *START, "--workflow-id", "3141592", "--storage-type", "DYNAMIC")["id"]
    clock.advance(20)
    assert aws_cli("omics", "cancel-run", "--id", run) == ""
    clock.advance(4)
    query = ("--query", "status", "--output", "text")
    assert aws_cli("omics", "get-run", "--id", run, *query).strip() == "CANCELLED"
    assert "ConflictException" in aws_cli("omics", "cancel-run", "--id", run, fails=True)


def test_render_farm_is_read(aws_cli: Program) -> None:
    assert run_cli(aws_cli, "deadline", "list-farms")["farms"][0]["farmId"] == FARM_ID
    job = ("--farm-id", FARM_ID, "--queue-id", QUEUE_ID, "--job-id", JOB_ID)
    step = (*job, "--step-id", RENDER_STEP_ID)
    task = run_cli(aws_cli, "deadline", "get-task", *step, "--task-id", RETRIED_TASK_ID)
    assert task["taskId"] == RETRIED_TASK_ID
    tasks = run_cli(aws_cli, "deadline", "list-tasks", *step)["tasks"]
    assert RETRIED_TASK_ID in [row["taskId"] for row in tasks]
