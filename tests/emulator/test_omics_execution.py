"""Runs through boto3, from PENDING to their end."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.omics import runs as omics_runs
from tests.support.omics_runs import (
    MANY,
    PARAMETERS,
    WDL,
    make_workflow,
    names,
    run_to_end,
    start_run,
    tasks_of,
)

WHOLE = ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"]


@pytest.fixture
def workflow(omics: Any, clock: ManualClock) -> str:
    return make_workflow(omics, clock)


def event_statuses(aws: Emulator, detail_type: str) -> dict[str, list[str]]:
    """Return the statuses in the events of a type, by ARN."""
    found: dict[str, list[str]] = defaultdict(list)
    for event in aws.events:
        if event.detail_type == detail_type:
            assert event.resources == (event.detail["arn"],)
            found[event.detail["arn"]].append(event.detail["status"])
    return found


def lines(aws: Emulator, connect: Any, stream: str) -> list[str]:
    logs = connect(aws, "logs")
    response = logs.get_log_events(logGroupName="/aws/omics/WorkflowLog", logStreamName=stream)
    return [event["message"] for event in response["events"]]


def test_run_and_its_tasks_go_through_all_statuses(
    aws: Emulator, omics: Any, clock: ManualClock, workflow: str
) -> None:
    run_id = start_run(omics, workflow, name="first", tags={"a": "b"})
    assert omics.get_run(id=run_id)["status"] == "PENDING"
    run = run_to_end(omics, clock, run_id)
    assert run["creationTime"] < run["startTime"] < run["stopTime"]
    assert run["parameters"] == PARAMETERS
    assert run["runOutputUri"] == f"s3://bucket/runs/{run_id}"
    assert (run["storageType"], run["storageCapacity"]) == ("STATIC", 1_200)
    row = next(row for row in omics.list_runs(name="first")["items"] if row["id"] == run_id)
    assert (row["status"], row["workflowName"]) == ("COMPLETED", "w")

    tasks = tasks_of(omics, run_id)
    assert [task["name"] for task in tasks] == ["Align-0-0", "Align-0-1", "Merge"]
    assert all(task["creationTime"] < task["startTime"] < task["stopTime"] for task in tasks)
    assert tasks[2]["creationTime"] >= max(task["stopTime"] for task in tasks[:2])
    merge = omics.get_run_task(id=run_id, taskId=tasks[2]["taskId"])
    assert (merge["cpus"], merge["memory"], merge["gpus"]) == (2, 4, 1)
    assert merge["instanceType"] == "omics.g5.xlarge"
    assert merge["imageDetails"]["image"] == "samtools:1"
    assert merge["logStream"].endswith(f":log-stream:run/{run_id}/task/{merge['taskId']}")

    assert event_statuses(aws, "Run Status Change")[run["arn"]] == WHOLE
    task_statuses = event_statuses(aws, "Task Status Change")
    for task in tasks:
        assert task_statuses[f"arn:aws:omics:us-west-2:111122223333:task/{task['taskId']}"] == WHOLE


def test_every_stream_has_its_lines(
    aws: Emulator, omics: Any, clock: ManualClock, connect: Any, workflow: str
) -> None:
    run_id = start_run(omics, workflow)
    run = run_to_end(omics, clock, run_id)
    tasks = tasks_of(omics, run_id)
    for task in tasks:
        found = lines(aws, connect, f"run/{run_id}/task/{task['taskId']}")
        assert len(found) == 2
        assert task["name"] in found[0]
    engine = run["logLocation"]["engineLogStream"].rpartition("log-stream:")[2]
    assert lines(aws, connect, engine)[-1].endswith("COMPLETED")
    stream = run["logLocation"]["runLogStream"].rpartition("log-stream:")[2]
    assert lines(aws, connect, stream)[-1].endswith("COMPLETED")
    manifest = [
        json.loads(line) for line in lines(aws, connect, f"manifest/run/{run_id}/{run['uuid']}")
    ]
    assert [entry["arn"].split(":")[5] for entry in manifest] == [
        f"run/{run_id}",
        *(f"task/{task['taskId']}" for task in tasks),
    ]
    assert manifest[1]["metrics"]["cpusReserved"] == 4
    assert manifest[1]["metrics"]["cpusMaximum"] < 4


def test_run_may_have_no_logs(
    aws: Emulator, omics: Any, clock: ManualClock, connect: Any, workflow: str
) -> None:
    run_id = start_run(omics, workflow, logLevel="OFF")
    run = run_to_end(omics, clock, run_id)
    assert "logLocation" not in run
    task = omics.get_run_task(id=run_id, taskId=tasks_of(omics, run_id)[0]["taskId"])
    assert "logStream" not in task
    streams = connect(aws, "logs").describe_log_streams(
        logGroupName="/aws/omics/WorkflowLog", logStreamNamePrefix=f"run/{run_id}"
    )
    assert streams["logStreams"] == []


def test_service_error_is_retried_as_a_new_task(
    aws: Emulator, omics: Any, clock: ManualClock, workflow: str
) -> None:
    aws.runs.fail("Align-0-1", times=2)
    run = start_run(omics, workflow)
    assert run_to_end(omics, clock, run)["status"] == "COMPLETED"
    tries = [task for task in tasks_of(omics, run) if task["name"] == "Align-0-1"]
    assert [task["status"] for task in tries] == ["FAILED", "FAILED", "COMPLETED"]
    assert len({task["taskId"] for task in tries}) == 3
    failed = omics.get_run_task(id=run, taskId=tries[0]["taskId"])
    assert failed["failureReason"] == "SERVICE_ERROR"
    assert failed["statusMessage"]


def test_third_service_error_fails_the_run(
    aws: Emulator, omics: Any, clock: ManualClock, workflow: str
) -> None:
    aws.runs.fail("Align-0-1", times=3)
    run = run_to_end(omics, clock, start_run(omics, workflow))
    assert (run["status"], run["failureReason"]) == ("FAILED", "RUN_TASK_FAILED")


def test_failure_injected_by_a_tag_fails_the_run(
    aws: Emulator, omics: Any, clock: ManualClock, workflow: str
) -> None:
    tags = {"taskgate:fail-task": "Align-0-0:OUT_OF_MEMORY_ERROR", "taskgate:task-seconds": "5"}
    run_id = start_run(omics, workflow, tags=tags, parameters=MANY)
    run = run_to_end(omics, clock, run_id)
    assert run["status"] == "FAILED"
    assert (run["stopTime"] - run["startTime"]).total_seconds() == 6 + 5 + 4 + 4
    tasks = tasks_of(omics, run_id)
    assert omics.get_run_task(id=run_id, taskId=tasks[0]["taskId"])["failureReason"] == (
        "OUT_OF_MEMORY_ERROR"
    )
    assert {task["status"] for task in tasks[25:]} == {"CANCELLED"}
    task_statuses = event_statuses(aws, "Task Status Change")
    for task in tasks:
        arn = f"arn:aws:omics:us-west-2:111122223333:task/{task['taskId']}"
        assert task_statuses[arn][-2:] == ["STOPPING", task["status"]]
    # The failure was for that run alone.
    assert run_to_end(omics, clock, start_run(omics, workflow))["status"] == "COMPLETED"
    with pytest.raises(ClientError, match="ValidationException"):
        start_run(omics, workflow, tags={"taskgate:fail-task": "A:B:often"})


def test_parameters_rejected_by_the_engine_fail_the_run(
    omics: Any, clock: ManualClock, workflow: str
) -> None:
    run_id = start_run(omics, workflow, parameters={**PARAMETERS, "reads": 7})
    run = run_to_end(omics, clock, run_id)
    assert (run["status"], run["failureReason"]) == ("FAILED", "WORKFLOW_RUN_FAILED")
    assert "reads" in run["statusMessage"]
    assert tasks_of(omics, run_id) == []


def test_parameters_are_checked_against_the_template(omics: Any, clock: ManualClock) -> None:
    template = {"reads": {"optional": False}, "sample": {"optional": False}}
    workflow = make_workflow(omics, clock, parameterTemplate=template)
    for parameters, name in (({"reads": []}, "sample"), ({**PARAMETERS, "more": 1}, "more")):
        with pytest.raises(ClientError, match=name) as caught:
            start_run(omics, workflow, parameters=parameters)
        assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_resources_of_a_run_must_exist(omics: Any, workflow: str) -> None:
    for params in ({"workflowId": "1"}, {"runGroupId": "1"}, {"cacheId": "1"}, {"runId": "1"}):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            start_run(omics, workflow, **params)


def test_task_too_large_for_any_instance_fails_the_run(omics: Any, clock: ManualClock) -> None:
    workflow = make_workflow(omics, clock, WDL.replace("cpu = 4", "cpu = 400"))
    run_id = start_run(omics, workflow)
    assert run_to_end(omics, clock, run_id)["status"] == "FAILED"
    task = omics.get_run_task(id=run_id, taskId=tasks_of(omics, run_id)[0]["taskId"])
    assert task["failureReason"] == "INVALID_TASK_RESOURCE_VALUE"


def test_second_run_reuses_cached_results(
    aws: Emulator, omics: Any, clock: ManualClock, connect: Any, workflow: str
) -> None:
    cache = omics.create_run_cache(
        cacheS3Location="s3://bucket/cache", cacheBehavior="CACHE_ALWAYS"
    )
    before = start_run(omics, workflow, cacheId=cache["id"])
    run_to_end(omics, clock, before)
    again = start_run(omics, workflow, cacheId=cache["id"])
    assert run_to_end(omics, clock, again)["cacheBehavior"] == "CACHE_ALWAYS"
    hits = tasks_of(omics, again)
    assert [(task["status"], task["cacheHit"]) for task in hits] == [("COMPLETED", True)] * 3
    made = [task["cacheS3Uri"] for task in tasks_of(omics, before)]
    assert [task["cacheS3Uri"] for task in hits] == made
    stream = f"runCache/{cache['id']}/"
    described = connect(aws, "logs").describe_log_streams(
        logGroupName="/aws/omics/WorkflowLog", logStreamNamePrefix=stream
    )
    (name,) = (each["logStreamName"] for each in described["logStreams"])
    assert [json.loads(line)["run"] for line in lines(aws, connect, name)] == [again] * 3
    changed = start_run(
        omics, workflow, cacheId=cache["id"], parameters={**PARAMETERS, "sample": "new"}
    )
    run_to_end(omics, clock, changed)
    assert [task["cacheHit"] for task in tasks_of(omics, changed)] == [True, True, False]


def test_cache_on_failure_stores_results_of_a_failed_run(
    aws: Emulator, omics: Any, clock: ManualClock, workflow: str
) -> None:
    cache = omics.create_run_cache(cacheS3Location="s3://bucket/cache")["id"]

    def hits() -> list[bool]:
        run = start_run(omics, workflow, cacheId=cache)
        run_to_end(omics, clock, run)
        return [task["cacheHit"] for task in tasks_of(omics, run)]

    assert hits() == [False, False, False]
    assert hits() == [False, False, False]  # a run that succeeded leaves nothing
    aws.runs.fail("Merge", reason="OUT_OF_MEMORY_ERROR")
    assert hits() == [False, False, False]
    assert hits() == [True, True, False]


@pytest.mark.parametrize(("seconds", "status"), [(0, "PENDING"), (3, "STARTING"), (20, "RUNNING")])
def test_run_is_cancelled_in_any_status(
    omics: Any, clock: ManualClock, workflow: str, seconds: float, status: str
) -> None:
    run_id = start_run(omics, workflow)
    clock.advance(seconds)
    assert omics.get_run(id=run_id)["status"] == status
    response = omics.cancel_run(id=run_id)["ResponseMetadata"]
    assert (response["HTTPStatusCode"], response["HTTPHeaders"]["content-length"]) == (202, "0")
    assert omics.get_run(id=run_id)["status"] == "STOPPING"
    omics.cancel_run(id=run_id)
    clock.advance(4)
    run = omics.get_run(id=run_id)
    assert (run["status"], run["stopTime"]) == ("CANCELLED", clock())
    assert {task["status"] for task in tasks_of(omics, run_id)} <= {"CANCELLED"}
    clock.advance(1_000)
    assert omics.get_run(id=run_id)["status"] == "CANCELLED"
    with pytest.raises(ClientError, match="ConflictException"):
        omics.cancel_run(id=run_id)


def test_run_that_has_ended_is_deleted(
    aws: Emulator, omics: Any, clock: ManualClock, workflow: str
) -> None:
    run_id = start_run(omics, workflow)
    with pytest.raises(ClientError, match="ConflictException"):
        omics.delete_run(id=run_id)
    arn = run_to_end(omics, clock, run_id)["arn"]
    assert omics.delete_run(id=run_id)["ResponseMetadata"]["HTTPStatusCode"] == 202
    for gone in (omics.get_run, omics.delete_run):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            gone(id=run_id)
    assert event_statuses(aws, "Run Status Change")[arn] == [*WHOLE, "DELETED"]


def test_oldest_removable_run_is_evicted(
    omics: Any, clock: ManualClock, workflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omics_runs, "_MAX_RUNS", 4)  # the demo has two
    kept = start_run(omics, workflow)
    oldest = start_run(omics, workflow, retentionMode="REMOVE")
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        start_run(omics, workflow)
    run_to_end(omics, clock, oldest)
    start_run(omics, workflow)
    assert omics.get_run(id=kept)["status"] == "COMPLETED"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        omics.get_run(id=oldest)


def test_run_is_started_again_from_its_id(omics: Any, workflow: str) -> None:
    first = start_run(omics, workflow, name="n", priority=7)
    again = omics.start_run(runId=first, roleArn="arn:aws:iam::1:role/Other", outputUri="s3://b/x")
    run = omics.get_run(id=again["id"])
    assert (run["workflowId"], run["parameters"], run["priority"], run["runId"]) == (
        workflow,
        PARAMETERS,
        7,
        first,
    )
    assert run["roleArn"].endswith("Other")


def test_one_request_id_starts_one_run(omics: Any, workflow: str) -> None:
    first, second = (start_run(omics, workflow, requestId="once") for _ in range(2))
    assert first == second
    with pytest.raises(ClientError, match="ValidationException"):
        start_run(omics, workflow, requestId="once", name="other")


def test_tags_of_a_run_are_changed_by_its_arn(omics: Any, workflow: str) -> None:
    arn = omics.get_run(id=start_run(omics, workflow, tags={"a": "b"}))["arn"]
    omics.tag_resource(resourceArn=arn, tags={"c": "d"})
    assert omics.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b", "c": "d"}


def test_run_continues_after_a_restart(tmp_path: Path, connect: Any) -> None:
    clock, state = ManualClock(), tmp_path / "state.sqlite"
    with Emulator(clock=clock, seed="empty", state=state) as aws:
        omics = connect(aws, "omics")
        run = start_run(omics, make_workflow(omics, clock), parameters=MANY)
        clock.advance(30)
        assert len(names(omics, run, "RUNNING")) == 25
    with Emulator(clock=clock, seed="empty", state=state) as aws:
        omics = connect(aws, "omics")
        assert len(names(omics, run, "PENDING")) == 5
        assert run_to_end(omics, clock, run)["status"] == "COMPLETED"
        assert len(names(omics, run, "COMPLETED")) == 31


def test_workflow_of_the_demo_can_be_run(omics: Any, clock: ManualClock) -> None:
    run = start_run(omics, "3141592")
    assert run_to_end(omics, clock, run)["status"] == "COMPLETED"
    assert names(omics, run, "COMPLETED") == [
        "BwaMem2-0-0",
        "BwaMem2-0-1",
        "DeepVariant",
        "MultiQC",
    ]
