"""CreateJob with real templates, and the jobs on the simulated workers."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.core.state import CALLER
from tests.emulator.deadline_jobs import (
    CHUNKED,
    advance,
    counts_of,
    create,
    frames,
    steps_of,
    template,
)


def test_template_makes_steps_and_tasks_that_run_in_order(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    values = {"Last": {"int": "15"}}
    job = create(deadline, queue, CHUNKED, templateType="YAML", parameters=values)
    got = deadline.get_job(**job)
    assert (got["name"], got["description"]) == ("Shot 042", "Two steps")
    assert got["parameters"] == {"Shot": {"string": "042"}, "Last": {"int": "15"}}
    assert (got["lifecycleStatus"], got["taskRunStatus"]) == ("CREATE_IN_PROGRESS", "PENDING")

    steps = steps_of(deadline, job)
    render = deadline.get_step(**steps["Render"])
    assert render["requiredCapabilities"] == {
        "attributes": [{"name": "attr.worker.os.family", "anyOf": ["linux"]}],
        "amounts": [{"name": "amount.worker.vcpu", "min": 4.0}],
    }
    assert render["parameterSpace"] == {
        "parameters": [
            {
                "name": "Frames",
                "type": "CHUNK_INT",
                "chunks": {"defaultTaskCount": 10, "rangeConstraint": "CONTIGUOUS"},
            },
            {"name": "Camera", "type": "STRING"},
        ],
        "combination": "Frames * Camera",
    }
    tasks = deadline.list_tasks(**steps["Render"])["tasks"]
    assert [task["parameters"]["Frames"]["chunkInt"] for task in tasks[::2]] == ["1-8", "9-15"]
    assert [task["parameters"]["Camera"]["string"] for task in tasks[:2]] == ["left", "right"]
    (needed,) = deadline.list_step_dependencies(**steps["Composite"])["dependencies"]
    assert needed == {"stepId": steps["Render"]["stepId"], "status": "UNRESOLVED"}

    clock.advance(1)
    got = deadline.get_job(**job)
    assert got["lifecycleStatus"] == "CREATE_COMPLETE"
    assert counts_of(got) == {"ASSIGNED": 2, "READY": 2, "PENDING": 1}
    clock.advance(51)
    assert counts_of(deadline.get_job(**job)) == {"SUCCEEDED": 4, "ASSIGNED": 1}
    clock.advance(25)
    assert deadline.get_job(**job)["taskRunStatus"] == "SUCCEEDED"
    (consumer,) = deadline.list_step_consumers(**steps["Render"])["consumers"]
    assert consumer["status"] == "RESOLVED"


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("{", "JSON", {}),
        ("a: [", "YAML", {}),
        ('{"specificationVersion": "jobtemplate-2023-09", "name": "J"}', "JSON", {}),
        (template(dependencies=[{"dependsOn": "Missing"}]), "JSON", {}),
        (template(), "JSON", {"Unknown": {"int": "1"}}),
        (CHUNKED, "YAML", {"Last": {"string": "many"}}),
    ],
)
def test_invalid_template_is_rejected(
    deadline: Any, queue: dict[str, str], text: str, kind: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as caught:
        create(deadline, queue, text, templateType=kind, parameters=parameters)
    response: Any = caught.value.response
    assert response["Error"]["Code"] == "ValidationException"
    assert response["fieldList"][0]["name"] == "template"
    assert deadline.list_jobs(**queue)["jobs"] == []


def test_job_waits_until_its_queue_has_a_fleet(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    farm = queue["farmId"]
    (link,) = deadline.list_queue_fleet_associations(farmId=farm)["queueFleetAssociations"]
    other = {
        "farmId": farm,
        "queueId": deadline.create_queue(farmId=farm, displayName="R")["queueId"],
    }
    job = create(deadline, other, template(**frames(2)))
    clock.advance(500)
    assert counts_of(deadline.get_job(**job)) == {"READY": 2}
    deadline.create_queue_fleet_association(**other, fleetId=link["fleetId"])
    assert counts_of(deadline.get_job(**job)) == {"ASSIGNED": 2}


def test_failed_task_is_retried_up_to_max_retries(
    aws: Emulator, deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    job = create(deadline, queue, template(), maxRetriesPerTask=2)
    (step,) = steps_of(deadline, job).values()
    (task,) = deadline.list_tasks(**step)["tasks"]
    ids = {**step, "taskId": task["taskId"]}
    aws.jobs.simulate(ids, failures=2, seconds=10)
    advance(deadline, clock, 60)
    got = deadline.get_task(**ids)
    assert (got["runStatus"], got["failureRetryCount"]) == ("SUCCEEDED", 2)
    actions = deadline.list_session_actions(**job, taskId=ids["taskId"])["sessionActions"]
    assert [action["status"] for action in actions] == ["FAILED", "FAILED", "SUCCEEDED"]
    assert deadline.get_job(**job)["taskFailureRetryCount"] == 2


def test_failed_task_cancels_dependent_steps(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    tags = {"taskgate:failures": "9", "taskgate:seconds": "3"}
    job = create(deadline, queue, CHUNKED, templateType="YAML", maxRetriesPerTask=0, tags=tags)
    clock.advance(40)
    assert counts_of(deadline.get_job(**job)) == {"FAILED": 4, "CANCELED": 1}
    steps = steps_of(deadline, job)
    (task, *_) = deadline.list_tasks(**steps["Render"])["tasks"]
    with pytest.raises(ClientError, match="retries"):
        deadline.update_task(**steps["Render"], taskId=task["taskId"], targetRunStatus="PENDING")
    deadline.update_job(**job, maxRetriesPerTask=3)
    deadline.update_task(**steps["Render"], taskId=task["taskId"], targetRunStatus="PENDING")


def test_too_many_failures_end_the_job(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    tags = {"taskgate:failures": "9", "taskgate:seconds": "3"}
    limits = {"maxRetriesPerTask": 0, "maxFailedTasksCount": 3, "maxWorkerCount": 1}
    job = create(deadline, queue, template(**frames(20)), tags=tags, **limits)
    clock.advance(60)
    got = deadline.get_job(**job)
    assert got["taskRunStatus"] == "FAILED"
    assert counts_of(got) == {"FAILED": 3, "CANCELED": 17}


def test_higher_priority_goes_first_within_its_workers(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    low = create(deadline, queue, template(**frames(4)), priority=10)
    high = create(deadline, queue, template(**frames(4)), priority=90, maxWorkerCount=1)
    clock.advance(2)
    assert counts_of(deadline.get_job(**low)) == {"ASSIGNED": 2, "READY": 2}
    clock.advance(25)
    assert counts_of(deadline.get_job(**high))["ASSIGNED"] == 1
    assert counts_of(deadline.get_job(**low)) == {"SUCCEEDED": 2, "ASSIGNED": 1, "READY": 1}


def test_job_is_suspended_requeued_changed_and_cancelled(
    deadline: Any, queue: dict[str, str], clock: ManualClock
) -> None:
    job = create(deadline, queue, CHUNKED, templateType="YAML", targetTaskRunStatus="SUSPENDED")
    clock.advance(30)
    assert counts_of(deadline.get_job(**job)) == {"SUSPENDED": 5}
    deadline.update_job(**job, targetTaskRunStatus="PENDING", priority=70, name="Renamed")
    clock.advance(8)
    got = deadline.get_job(**job)
    assert (got["priority"], got["name"], got["updatedBy"]) == (70, "Renamed", CALLER)
    assert counts_of(got) == {"RUNNING": 2, "READY": 2, "PENDING": 1}
    response = deadline.batch_update_job(
        jobs=[
            {**job, "targetTaskRunStatus": "CANCELED"},
            {**job, "jobId": "job-" + "0" * 32, "priority": 1},
        ]
    )
    assert [error["code"] for error in response["errors"]] == ["ResourceNotFoundException"]
    got = deadline.get_job(**job)
    assert counts_of(got) == {"INTERRUPTING": 2, "CANCELED": 3}
    assert got["targetTaskRunStatus"] == "CANCELED"
    clock.advance(5)
    got = deadline.get_job(**job)
    assert (counts_of(got), "targetTaskRunStatus" in got) == ({"CANCELED": 5}, False)


@pytest.mark.parametrize(
    ("target", "after"),
    [
        ("CANCELED", {"SUCCEEDED": 1, "FAILED": 1, "CANCELED": 2}),
        ("FAILED", {"SUCCEEDED": 1, "FAILED": 3}),
        ("SUCCEEDED", {"SUCCEEDED": 4}),
        ("SUSPENDED", {"SUCCEEDED": 1, "FAILED": 1, "CANCELED": 1, "SUSPENDED": 1}),
        ("PENDING", {"PENDING": 3, "READY": 1}),
    ],
)
def test_step_update_skips_tasks_whose_status_forbids_it(
    aws: Emulator, deadline: Any, target: str, after: dict[str, int]
) -> None:
    added = aws.jobs.add([4])
    for number, status in enumerate(("SUCCEEDED", "FAILED", "CANCELED")):
        aws.jobs.move(added.task(number), status)
    deadline.update_step(**added.step(), targetTaskRunStatus=target)
    assert counts_of(deadline.get_step(**added.step())) == after


def test_job_is_created_from_a_source_job(deadline: Any, queue: dict[str, str]) -> None:
    job = create(deadline, queue, CHUNKED, templateType="YAML")
    again = deadline.create_job(
        **queue, sourceJobId=job["jobId"], priority=1, parameters={"Shot": {"string": "7"}}
    )
    got = deadline.get_job(**queue, jobId=again["jobId"])
    assert (got["name"], got["sourceJobId"]) == ("Shot 7", job["jobId"])
