from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import (
    CANCELED_TASK_ID,
    COMPOSITE_STEP_ID,
    EVERY_PARAMETER_TASK_ID,
    FAILED_TASK_ID,
    FARM_ID,
    FLAKY_TASK_ID,
    GREAT_NUMBERS_TASK_ID,
    JOB_ID,
    PENDING_TASK_ID,
    QUEUE_ID,
    RETRIED_TASK_ID,
    RUNNING_TASK_ID,
    SIMULATE_STEP_ID,
    SUSPENDED_TASK_ID,
)
from taskgate_server.aws.model import StructureShape, load_service

Ids = dict[str, str]
ABSENT_TASK_ID = f"task-{'0' * 32}-0"


def members_of(name: str) -> StructureShape:
    shape = load_service("deadline").shape_for(name)
    assert isinstance(shape, StructureShape)
    return shape


def members_in(response: dict[str, Any]) -> set[str]:
    return set(response) - {"ResponseMetadata"}


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


def test_failed_task_has_every_member(deadline: Any, render: Ids) -> None:
    task = deadline.get_task(**render, taskId=FAILED_TASK_ID)
    assert members_in(task) == set(members_of("GetTaskResponse").members)
    assert (task["runStatus"], task["targetRunStatus"]) == ("FAILED", "FAILED")
    assert task["failureRetryCount"] == 1
    assert task["createdAt"] < task["startedAt"] < task["endedAt"] <= task["updatedAt"]


def test_pending_task_has_only_the_required_members(deadline: Any, job: Ids) -> None:
    task = deadline.get_task(**job, stepId=COMPOSITE_STEP_ID, taskId=PENDING_TASK_ID)
    assert members_in(task) == set(members_of("GetTaskResponse").required_members)


def test_parameters_have_every_kind(deadline: Any, job: Ids) -> None:
    step = {**job, "stepId": SIMULATE_STEP_ID}
    parameters = deadline.get_task(**step, taskId=EVERY_PARAMETER_TASK_ID)["parameters"]
    kinds = {kind for value in parameters.values() for kind in value}
    assert kinds == set(members_of("TaskParameterValue").members)

    great = deadline.get_task(**step, taskId=GREAT_NUMBERS_TASK_ID)["parameters"]
    assert int(great["Seed"]["int"]) > 2**63
    assert str(float(great["Gravity"]["float"])) != great["Gravity"]["float"]


@pytest.mark.parametrize(
    ("task_id", "status"),
    [
        (RETRIED_TASK_ID, "SUCCEEDED"),
        (SUSPENDED_TASK_ID, "SUSPENDED"),
        (CANCELED_TASK_ID, "CANCELED"),
        (RUNNING_TASK_ID, "RUNNING"),
        (FLAKY_TASK_ID, "READY"),
    ],
)
def test_demo_tasks_start_as_described(
    deadline: Any, render: Ids, task_id: str, status: str
) -> None:
    assert deadline.get_task(**render, taskId=task_id)["runStatus"] == status


def test_running_task_succeeds_with_time(deadline: Any, render: Ids, clock: ManualClock) -> None:
    before = deadline.get_task(**render, taskId=RUNNING_TASK_ID)
    clock.advance(45)
    after = deadline.get_task(**render, taskId=RUNNING_TASK_ID)
    assert after["runStatus"] == "SUCCEEDED"
    assert after["startedAt"] == before["startedAt"]
    assert after["endedAt"] == after["updatedAt"] == clock()


def test_flaky_task_is_retried_by_the_service(
    deadline: Any, render: Ids, clock: ManualClock
) -> None:
    seen: list[tuple[str, int]] = []
    for _ in range(100):
        task = deadline.get_task(**render, taskId=FLAKY_TASK_ID)
        if not seen or seen[-1][0] != task["runStatus"]:
            seen.append((task["runStatus"], task["failureRetryCount"]))
        clock.advance(1)
    attempt = ["READY", "ASSIGNED", "STARTING", "RUNNING"]
    assert [status for status, _ in seen] == [*attempt, *attempt, "SUCCEEDED"]
    assert [retries for _, retries in seen] == [0] * 4 + [1] * 5


def test_counts_match_the_tasks_at_all_times(deadline: Any, job: Ids, clock: ManualClock) -> None:
    for _ in range(8):
        steps = deadline.list_steps(**job)["steps"]
        total: Counter[str] = Counter()
        for step in steps:
            tasks = deadline.list_tasks(**job, stepId=step["stepId"])["tasks"]
            counts = Counter(task["runStatus"] for task in tasks)
            assert +Counter(step["taskRunStatusCounts"]) == counts
            assert step["taskRunStatus"] in counts
            one = deadline.get_step(**job, stepId=step["stepId"])
            assert one["taskRunStatusCounts"] == step["taskRunStatusCounts"]
            total += counts
        response = deadline.get_job(**job)
        assert +Counter(response["taskRunStatusCounts"]) == total
        assert response["taskRunStatus"] in total
        clock.advance(31)


def test_farm_queue_and_job_are_found_and_listed(deadline: Any, job: Ids) -> None:
    farm, queue = {"farmId": FARM_ID}, {"farmId": FARM_ID, "queueId": QUEUE_ID}
    assert deadline.get_farm(**farm)["costScaleFactor"] == 1.0
    assert [one["farmId"] for one in deadline.list_farms()["farms"]] == [FARM_ID]
    assert deadline.get_queue(**queue)["status"] == "SCHEDULING"
    assert [one["queueId"] for one in deadline.list_queues(**farm)["queues"]] == [QUEUE_ID]
    assert deadline.list_queues(**farm, status="IDLE")["queues"] == []
    assert [one["jobId"] for one in deadline.list_jobs(**queue)["jobs"]] == [JOB_ID]
    assert deadline.get_step(**job, stepId=COMPOSITE_STEP_ID)["dependencyCounts"] == {
        "dependenciesResolved": 0,
        "dependenciesUnresolved": 1,
        "consumersResolved": 0,
        "consumersUnresolved": 0,
    }


@pytest.mark.parametrize("kind", ["farm", "queue", "job", "step", "task"])
def test_absent_resource_is_named(deadline: Any, render: Ids, kind: str) -> None:
    ids = {**render, "taskId": FAILED_TASK_ID}
    ids[f"{kind}Id"] = f"{kind}-{'0' * 32}" + ("-0" if kind == "task" else "")
    with pytest.raises(ClientError) as caught:
        deadline.get_task(**ids)
    response: Any = caught.value.response
    assert code_of(caught) == "ResourceNotFoundException"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert (response["resourceType"], response["resourceId"]) == (kind, ids[f"{kind}Id"])


def test_pages_contain_each_task_once(deadline: Any, render: Ids) -> None:
    pages = list(
        deadline.get_paginator("list_tasks").paginate(**render, PaginationConfig={"PageSize": 5})
    )
    ids = [task["taskId"] for page in pages for task in page["tasks"]]
    assert [len(page["tasks"]) for page in pages] == [5, 5, 2]
    assert len(set(ids)) == 12


@pytest.mark.parametrize("token", ["!", "bm90aGluZw==", "ünï"])
def test_invalid_page_token_is_rejected(deadline: Any, render: Ids, token: str) -> None:
    with pytest.raises(ClientError) as caught:
        deadline.list_tasks(**render, nextToken=token)
    response: Any = caught.value.response
    assert code_of(caught) == "ValidationException"
    assert response["fieldList"][0]["name"] == "nextToken"


def test_page_token_of_another_list_is_rejected(deadline: Any, job: Ids, render: Ids) -> None:
    token = deadline.list_tasks(**render, maxResults=1)["nextToken"]
    with pytest.raises(ClientError) as caught:
        deadline.list_tasks(**job, stepId=SIMULATE_STEP_ID, nextToken=token)
    assert code_of(caught) == "ValidationException"


def test_batch_get_returns_a_task_or_an_error_per_item(deadline: Any, render: Ids) -> None:
    wanted = [FAILED_TASK_ID, ABSENT_TASK_ID, RUNNING_TASK_ID]
    response = deadline.batch_get_task(identifiers=[{**render, "taskId": t} for t in wanted])
    assert [task["taskId"] for task in response["tasks"]] == [FAILED_TASK_ID, RUNNING_TASK_ID]
    assert set(response["tasks"][0]) == set(members_of("BatchGetTaskItem").members)
    (error,) = response["errors"]
    assert error["code"] == "ResourceNotFoundException"
    assert {name: error[name] for name in (*render, "taskId")} == {
        **render,
        "taskId": ABSENT_TASK_ID,
    }


def test_requeued_tasks_run_again_and_release_the_next_step(
    deadline: Any, job: Ids, render: Ids, clock: ManualClock
) -> None:
    before = deadline.get_task(**render, taskId=FAILED_TASK_ID)
    clock.advance(300)
    for task_id in (FAILED_TASK_ID, SUSPENDED_TASK_ID, CANCELED_TASK_ID):
        deadline.update_task(**render, taskId=task_id, targetRunStatus="PENDING")
    updated = deadline.get_task(**render, taskId=FAILED_TASK_ID)
    assert updated["runStatus"] == "PENDING"
    assert not {"startedAt", "endedAt"} & set(updated)

    clock.advance(35)
    after = deadline.get_task(**render, taskId=FAILED_TASK_ID)
    assert after["runStatus"] == "SUCCEEDED"
    assert after["startedAt"] > before["endedAt"]
    assert "targetRunStatus" not in after
    actions = deadline.list_session_actions(**job, taskId=FAILED_TASK_ID)["sessionActions"]
    assert [(action["sessionActionId"], action["status"]) for action in actions[-2:]] == [
        (before["latestSessionActionId"], "CANCELED"),
        (after["latestSessionActionId"], "SUCCEEDED"),
    ]

    clock.advance(60)
    composite = deadline.get_step(**job, stepId=COMPOSITE_STEP_ID)
    assert composite["taskRunStatus"] == "SUCCEEDED"
    assert deadline.get_job(**job)["taskRunStatus"] == "SUCCEEDED"
    assert deadline.get_job(**job)["endedAt"] == composite["endedAt"]


def test_dependent_step_is_cancelled_when_a_task_fails(
    deadline: Any, job: Ids, render: Ids, clock: ManualClock
) -> None:
    clock.advance(300)
    deadline.update_task(**render, taskId=SUSPENDED_TASK_ID, targetRunStatus="SUCCEEDED")
    composite = deadline.get_step(**job, stepId=COMPOSITE_STEP_ID)
    assert composite["taskRunStatus"] == "CANCELED"


@pytest.mark.parametrize("target", ["CANCELED", "SUSPENDED", "FAILED", "SUCCEEDED"])
def test_running_task_is_interrupted_first(
    deadline: Any, render: Ids, clock: ManualClock, target: str
) -> None:
    deadline.update_task(**render, taskId=RUNNING_TASK_ID, targetRunStatus=target)
    updated = deadline.get_task(**render, taskId=RUNNING_TASK_ID)
    assert (updated["runStatus"], updated["targetRunStatus"]) == ("INTERRUPTING", target)
    assert "endedAt" not in updated

    clock.advance(5)
    ended = deadline.get_task(**render, taskId=RUNNING_TASK_ID)
    assert (ended["runStatus"], ended["endedAt"]) == (target, clock())
    clock.advance(1_000)
    assert deadline.get_task(**render, taskId=RUNNING_TASK_ID)["runStatus"] == target


@pytest.mark.parametrize(
    ("task_id", "target"),
    [
        (FAILED_TASK_ID, "CANCELED"),
        (RETRIED_TASK_ID, "CANCELED"),
        (RETRIED_TASK_ID, "FAILED"),
        (CANCELED_TASK_ID, "SUSPENDED"),
    ],
)
def test_settled_task_keeps_its_status(
    deadline: Any, render: Ids, task_id: str, target: str
) -> None:
    with pytest.raises(ClientError) as caught:
        deadline.update_task(**render, taskId=task_id, targetRunStatus=target)
    response: Any = caught.value.response
    assert code_of(caught) == "ConflictException"
    assert response["reason"] == "STATUS_CONFLICT"
    assert (response["resourceType"], response["resourceId"]) == ("task", task_id)


def test_task_without_retries_left_is_not_requeued(
    aws: Emulator, deadline: Any, render: Ids
) -> None:
    def use_up(account: Any) -> None:
        account.update("deadline.Job", (FARM_ID, QUEUE_ID, JOB_ID), maxRetriesPerTask=1)

    aws.edit(use_up)
    response = deadline.batch_update_task(
        tasks=[
            {**render, "taskId": FAILED_TASK_ID, "targetRunStatus": "PENDING"},
            {**render, "taskId": SUSPENDED_TASK_ID, "targetRunStatus": "PENDING"},
            {**render, "taskId": ABSENT_TASK_ID, "targetRunStatus": "PENDING"},
        ]
    )
    assert [error["code"] for error in response["errors"]] == [
        "ConflictException",
        "ResourceNotFoundException",
    ]
    assert deadline.get_task(**render, taskId=SUSPENDED_TASK_ID)["runStatus"] == "PENDING"


def test_repeated_client_token_has_no_second_effect(
    deadline: Any, render: Ids, clock: ManualClock
) -> None:
    once = {**render, "taskId": FAILED_TASK_ID, "targetRunStatus": "PENDING", "clientToken": "t"}
    deadline.update_task(**once)
    clock.advance(15)
    deadline.update_task(**once)
    assert deadline.get_task(**render, taskId=FAILED_TASK_ID)["runStatus"] == "RUNNING"
    with pytest.raises(ClientError, match="client token"):
        deadline.update_task(**{**once, "targetRunStatus": "CANCELED"})


def test_times_of_a_task_are_in_order(deadline: Any, render: Ids, clock: ManualClock) -> None:
    for _ in range(30):
        for task in deadline.list_tasks(**render)["tasks"]:
            if "endedAt" in task:
                assert task["createdAt"] < task["startedAt"] < task["endedAt"] <= clock()
            assert task.get("updatedAt", clock()) <= clock()
            started = task["runStatus"] in {"STARTING", "RUNNING", "SUCCEEDED"}
            assert not started or task["latestSessionActionId"].startswith("sessionaction-")
        clock.advance(timedelta(seconds=7).total_seconds())
