"""Run batches through boto3."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import ManualClock
from tests.support.omics_runs import PARAMETERS, ROLE, make_workflow


@pytest.fixture
def batch(omics: Any, clock: ManualClock) -> str:
    return start_batch(omics, make_workflow(omics, clock))


def start_batch(omics: Any, workflow: str) -> str:
    """Three runs, one of which cannot be started."""
    response = omics.start_run_batch(
        batchName="b",
        defaultRunSetting={
            "workflowId": workflow,
            "roleArn": ROLE,
            "outputUri": "s3://bucket/runs",
            "parameters": {"sample": "default"},
            "runTags": {"cohort": "a"},
        },
        batchRunSettings={
            "inlineSettings": [
                {"runSettingId": "one", "parameters": PARAMETERS, "runTags": {"n": "1"}},
                {"runSettingId": "two", "parameters": {"reads": ["s3://bucket/c"]}},
                {"runSettingId": "three"},
            ]
        },
    )
    assert response["status"] == "PENDING"
    batch: str = response["id"]
    return batch


def members(omics: Any, batch: str, **filters: str) -> dict[str, dict[str, Any]]:
    pages = omics.get_paginator("list_runs_in_batch").paginate(
        batchId=batch, PaginationConfig={"PageSize": 2}, **filters
    )
    return {row["runSettingId"]: row for page in pages for row in page["runs"]}


def test_batch_starts_its_runs_and_is_processed(omics: Any, clock: ManualClock, batch: str) -> None:
    seen: list[str] = []
    for _ in range(200):
        response = omics.get_batch(batchId=batch)
        if not seen or seen[-1] != response["status"]:
            seen.append(response["status"])
        clock.advance(1)
    assert seen == ["PENDING", "SUBMITTING", "INPROGRESS", "PROCESSED"]
    assert (response["totalRuns"], response["name"]) == (3, "b")
    assert response["submissionSummary"]["successfulStartSubmissionCount"] == 2
    assert response["submissionSummary"]["failedStartSubmissionCount"] == 1
    assert response["runSummary"]["completedRunCount"] == 2

    rows = members(omics, batch)
    assert list(rows) == ["one", "two", "three"]
    assert rows["three"]["submissionFailureReason"] == "ValidationException"
    assert "reads" in rows["three"]["submissionFailureMessage"]
    one, two = (omics.get_run(id=rows[name]["runId"]) for name in ("one", "two"))
    assert one["parameters"] == PARAMETERS
    assert two["parameters"] == {"reads": ["s3://bucket/c"], "sample": "default"}
    assert (one["tags"], one["batchId"]) == ({"cohort": "a", "n": "1"}, batch)
    assert len(omics.list_runs(batchId=batch)["items"]) == 2
    assert list(members(omics, batch, submissionStatus="FAILED")) == ["three"]
    (listed,) = omics.list_batch(status="PROCESSED")["items"]
    assert (listed["id"], listed["totalRuns"]) == (batch, 3)


def test_tags_of_a_batch_are_changed_by_its_arn(omics: Any, batch: str) -> None:
    arn = omics.get_batch(batchId=batch)["arn"]
    omics.tag_resource(resourceArn=arn, tags={"a": "b"})
    assert omics.get_batch(batchId=batch)["tags"] == {"a": "b"}
    assert omics.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b"}


def test_batch_is_cancelled_with_its_runs(omics: Any, clock: ManualClock, batch: str) -> None:
    clock.advance(20)
    assert omics.get_batch(batchId=batch)["runSummary"]["runningRunCount"] == 2
    assert omics.cancel_run_batch(batchId=batch)["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert omics.get_batch(batchId=batch)["status"] == "STOPPING"
    clock.advance(4)
    response = omics.get_batch(batchId=batch)
    assert response["status"] == "CANCELLED"
    assert response["runSummary"]["cancelledRunCount"] == 2
    assert response["submissionSummary"]["successfulCancelSubmissionCount"] == 2
    with pytest.raises(ClientError, match="ConflictException"):
        omics.cancel_run_batch(batchId=batch)


def test_pending_batch_is_cancelled_before_it_starts_a_run(
    omics: Any, clock: ManualClock, batch: str
) -> None:
    omics.cancel_run_batch(batchId=batch)
    clock.advance(60)
    assert omics.get_batch(batchId=batch)["status"] == "CANCELLED"
    assert omics.list_runs(batchId=batch)["items"] == []


def test_runs_of_a_batch_are_deleted_and_then_the_batch(
    omics: Any, clock: ManualClock, batch: str
) -> None:
    for too_early in (omics.delete_run_batch, omics.delete_batch):
        with pytest.raises(ClientError, match="ConflictException"):
            too_early(batchId=batch)
    clock.advance(200)
    omics.delete_run_batch(batchId=batch)
    assert omics.get_batch(batchId=batch)["status"] == "RUNS_DELETING"
    clock.advance(1)
    response = omics.get_batch(batchId=batch)
    assert (response["status"], response["runSummary"]["deletedRunCount"]) == ("RUNS_DELETED", 2)
    assert omics.list_runs(batchId=batch)["items"] == []
    omics.delete_batch(batchId=batch)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        omics.get_batch(batchId=batch)


def test_invalid_batch_is_rejected(omics: Any, clock: ManualClock) -> None:
    workflow = make_workflow(omics, clock)
    default = {"workflowId": workflow, "roleArn": ROLE}
    twice = {"inlineSettings": [{"runSettingId": "one"}, {"runSettingId": "one"}]}
    with pytest.raises(ClientError, match="ValidationException"):
        omics.start_run_batch(defaultRunSetting=default, batchRunSettings=twice)
    elsewhere = {"s3UriSettings": "s3://bucket/settings.json"}
    with pytest.raises(ClientError, match="NotImplemented"):
        omics.start_run_batch(defaultRunSetting=default, batchRunSettings=elsewhere)
    absent = {**default, "workflowId": "1"}
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        omics.start_run_batch(
            defaultRunSetting=absent, batchRunSettings={"inlineSettings": [{"runSettingId": "a"}]}
        )
