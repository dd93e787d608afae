from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import (
    CACHE_HIT_TASK_ID,
    ENDED_RUN_ID,
    FAILED_RUN_TASK_ID,
    GPU_TASK_ID,
    LATER_TASK_ID,
    PENDING_RUN_TASK_ID,
    RUN_ID,
)
from taskgate_server.aws.model import StructureShape, load_service


def members_of(name: str) -> set[str]:
    shape = load_service("omics").shape_for(name)
    assert isinstance(shape, StructureShape)
    return set(shape.members)


def statuses(omics: Any) -> dict[str, str]:
    return {task["taskId"]: task["status"] for task in omics.list_run_tasks(id=RUN_ID)["items"]}


def test_failed_task_has_every_member(omics: Any) -> None:
    task = omics.get_run_task(id=RUN_ID, taskId=FAILED_RUN_TASK_ID)
    assert set(task) - {"ResponseMetadata"} == members_of("GetRunTaskResponse")
    assert set(task["imageDetails"]) == members_of("ImageDetails")
    assert (task["status"], task["cacheHit"], task["gpus"]) == ("FAILED", False, 1)
    assert task["creationTime"] < task["startTime"] < task["stopTime"]
    assert task["logStream"].endswith(
        f":log-group:/aws/omics/WorkflowLog:log-stream:run/{RUN_ID}/task/{FAILED_RUN_TASK_ID}"
    )


def test_pending_task_has_few_members(omics: Any) -> None:
    task = omics.get_run_task(id=RUN_ID, taskId=PENDING_RUN_TASK_ID)
    assert set(task) - {"ResponseMetadata"} == {"taskId", "status", "name", "creationTime"}


def test_retry_is_another_task_of_the_same_name(omics: Any) -> None:
    failed = omics.get_run_task(id=RUN_ID, taskId=FAILED_RUN_TASK_ID)
    again = omics.get_run_task(id=RUN_ID, taskId=GPU_TASK_ID)
    assert failed["name"] == again["name"]
    assert again["creationTime"] > failed["stopTime"]


def test_cache_hit_never_ran(omics: Any) -> None:
    task = omics.get_run_task(id=RUN_ID, taskId=CACHE_HIT_TASK_ID)
    assert (task["status"], task["cacheHit"]) == ("COMPLETED", True)
    assert task["cacheS3Uri"].startswith("s3://")
    assert "startTime" not in task


def test_run_is_stopping_before_it_completes(omics: Any, clock: ManualClock) -> None:
    seen: dict[str, list[str]] = {}
    for _ in range(260):
        now = {**statuses(omics), "run": omics.get_run(id=RUN_ID)["status"]}
        for key, status in now.items():
            if seen.setdefault(key, [status])[-1] != status:
                seen[key].append(status)
        clock.advance(1)
    whole = ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"]
    assert seen["run"] == seen[GPU_TASK_ID] == whole[2:]
    assert seen[PENDING_RUN_TASK_ID] == seen[LATER_TASK_ID] == whole
    stopped = omics.get_run(id=RUN_ID)["stopTime"]
    assert stopped >= omics.get_run_task(id=RUN_ID, taskId=LATER_TASK_ID)["stopTime"]


def test_task_does_not_exist_before_the_engine_creates_it(omics: Any, clock: ManualClock) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        omics.get_run_task(id=RUN_ID, taskId=LATER_TASK_ID)
    clock.advance(120)
    task = omics.get_run_task(id=RUN_ID, taskId=LATER_TASK_ID)
    assert task["creationTime"] == clock()


def test_cancel_stops_the_run_and_its_open_tasks(
    aws: Emulator, omics: Any, clock: ManualClock
) -> None:
    before = statuses(omics)
    response = omics.cancel_run(id=RUN_ID)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert response["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "0"

    ended = {"COMPLETED", "FAILED"}
    assert omics.get_run(id=RUN_ID)["status"] == "STOPPING"
    for task_id, status in statuses(omics).items():
        assert status == (before[task_id] if before[task_id] in ended else "STOPPING")
    omics.cancel_run(id=RUN_ID)

    clock.advance(4)
    run = omics.get_run(id=RUN_ID)
    assert (run["status"], run["stopTime"]) == ("CANCELLED", clock())
    for task_id, status in statuses(omics).items():
        assert status == (before[task_id] if before[task_id] in ended else "CANCELLED")

    clock.advance(1_000)
    assert LATER_TASK_ID not in statuses(omics)
    with pytest.raises(ClientError, match="ConflictException"):
        omics.cancel_run(id=RUN_ID)
    assert aws.requests[-1].operation == "CancelRun"


def test_cancelling_a_run_that_ended_is_a_conflict(omics: Any) -> None:
    with pytest.raises(ClientError) as caught:
        omics.cancel_run(id=ENDED_RUN_ID)
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert "COMPLETED" in response["message"]
    # HealthOmics' own shape of the error has a message and nothing else.
    assert set(response) == {"Error", "ResponseMetadata", "message"}


def test_runs_are_listed_and_filtered(omics: Any) -> None:
    def listed(**filters: str) -> list[str]:
        return [run["id"] for run in omics.list_runs(**filters)["items"]]

    assert listed() == [RUN_ID, ENDED_RUN_ID]
    assert listed(status="COMPLETED") == [ENDED_RUN_ID]
    assert listed(name="NA12878 germline") == [RUN_ID]
    assert listed(runGroupId="1") == []


def test_run_has_its_parameters_and_log_streams(omics: Any) -> None:
    run = omics.get_run(id=RUN_ID)
    assert run["parameters"]["coverage"] == 30
    assert set(run) - {"ResponseMetadata"} <= members_of("GetRunResponse")
    assert run["logLocation"]["engineLogStream"].endswith(f"run/{RUN_ID}/engine")


def test_pages_of_one_status_give_each_task_once(omics: Any, clock: ManualClock) -> None:
    clock.advance(125)
    pages = omics.get_paginator("list_run_tasks").paginate(
        id=RUN_ID, status="COMPLETED", PaginationConfig={"PageSize": 1}
    )
    ids = []
    for page in pages:
        ids += [task["taskId"] for task in page["items"]]
        clock.advance(10)  # others become COMPLETED meanwhile, later in the list
    assert len(ids) == len(set(ids))
    assert ids[0] == CACHE_HIT_TASK_ID
    assert PENDING_RUN_TASK_ID in ids


def test_absent_run_and_task_are_not_found(omics: Any) -> None:
    for params in ({"id": "1", "taskId": "2"}, {"id": RUN_ID, "taskId": "2"}):
        with pytest.raises(ClientError) as caught:
            omics.get_run_task(**params)
        assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
