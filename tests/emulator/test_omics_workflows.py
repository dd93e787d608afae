"""Workflows and their versions through boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from tests.support.omics_runs import PARAMETERS, WDL, make_workflow, start_run, tasks_of, zipped


class TickingClock:
    """Advances a second at each read, so that waiters need no sleep."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


def test_workflow_is_made_and_becomes_active(aws: Emulator, omics: Any, clock: ManualClock) -> None:
    made = omics.create_workflow(name="w", definitionZip=zipped(main_wdl=WDL), tags={"a": "b"})
    assert (made["status"], made["tags"]) == ("CREATING", {"a": "b"})
    clock.advance(3)
    workflow = omics.get_workflow(id=made["id"])
    assert (workflow["status"], workflow["engine"], workflow["type"]) == (
        "ACTIVE",
        "WDL",
        "PRIVATE",
    )
    assert workflow["parameterTemplate"] == {
        "reads": {"optional": False},
        "sample": {"optional": False},
        "merges": {"optional": True},
    }
    assert made["id"] in [row["id"] for row in omics.list_workflows()["items"]]
    statuses = [
        event.detail["status"]
        for event in aws.events
        if event.detail_type == "Workflow Status Change" and event.resources == (made["arn"],)
    ]
    assert statuses == ["CREATING", "ACTIVE"]


def test_workflow_whose_definition_is_wrong_fails(omics: Any, clock: ManualClock) -> None:
    for content in (zipped(main_wdl="workflow {"), b"no zip"):
        made = omics.create_workflow(name="w", definitionZip=content)
        clock.advance(3)
        workflow = omics.get_workflow(id=made["id"])
        assert workflow["status"] == "FAILED"
        assert workflow["statusMessage"]
        with pytest.raises(ClientError, match="ConflictException"):
            start_run(omics, made["id"])


def test_definitions_in_s3_or_a_repository_return_501(omics: Any) -> None:
    repository = {
        "connectionArn": "arn:aws:codeconnections:us-west-2:111122223333:connection/x",
        "fullRepositoryId": "a/b",
    }
    for params in (
        {"definitionRepository": repository},
        {"definitionZip": zipped(main_wdl=WDL), "parameterTemplatePath": "t.json"},
    ):
        with pytest.raises(ClientError) as caught:
            omics.create_workflow(name="w", **params)
        status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status == 501, params
    with pytest.raises(ClientError, match="ValidationException"):
        omics.create_workflow(name="w")


def test_export_needs_s3(omics: Any, clock: ManualClock) -> None:
    workflow = make_workflow(omics, clock)
    with pytest.raises(ClientError, match="NotImplemented"):
        omics.get_workflow(id=workflow, export=["DEFINITION"])


def test_one_request_id_makes_one_workflow(omics: Any) -> None:
    params = {"name": "w", "definitionZip": zipped(main_wdl=WDL), "requestId": "once"}
    assert omics.create_workflow(**params)["id"] == omics.create_workflow(**params)["id"]


def test_version_has_its_own_definition(omics: Any, clock: ManualClock) -> None:
    workflow = make_workflow(omics, clock)
    text = WDL.replace("call Merge {", "call Merge as MergeAll {")
    made = omics.create_workflow_version(
        workflowId=workflow, versionName="2.0", definitionZip=zipped(main_wdl=text)
    )
    assert made["status"] == "CREATING"
    with pytest.raises(ClientError, match="ConflictException"):
        start_run(omics, workflow, workflowVersionName="2.0")
    clock.advance(3)
    version = omics.get_workflow_version(workflowId=workflow, versionName="2.0")
    assert (version["status"], version["engine"]) == ("ACTIVE", "WDL")
    rows = omics.list_workflow_versions(workflowId=workflow)["items"]
    assert [row["versionName"] for row in rows] == ["2.0"]
    run = start_run(omics, workflow, workflowVersionName="2.0", parameters=PARAMETERS)
    clock.advance(90)
    assert "MergeAll" in [task["name"] for task in tasks_of(omics, run)]
    with pytest.raises(ClientError, match="workflowVersion"):
        start_run(omics, workflow, workflowVersionName="3.0")


def test_waiters_of_boto3_end(connect: Any) -> None:
    with Emulator(clock=TickingClock(), seed="empty") as aws:
        omics = connect(aws, "omics")
        config = {"Delay": 0, "MaxAttempts": 1_000}
        made = omics.create_workflow(name="w", definitionZip=zipped(main_wdl=WDL))
        omics.get_waiter("workflow_active").wait(id=made["id"], WaiterConfig=config)
        run = start_run(omics, made["id"])
        omics.get_waiter("run_running").wait(id=run, WaiterConfig=config)
        task = tasks_of(omics, run)[0]["taskId"]
        ids = {"id": run, "taskId": task}
        omics.get_waiter("task_running").wait(**ids, WaiterConfig=config)
        omics.get_waiter("task_completed").wait(**ids, WaiterConfig=config)
        omics.get_waiter("run_completed").wait(id=run, WaiterConfig=config)
        assert omics.get_run(id=run)["status"] == "COMPLETED"
