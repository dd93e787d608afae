"""What an event is about: AWS's own examples, and garbage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.config import AwsSettings
from taskgate_server.tasks.events import name_in
from taskgate_server.upstream.events import queue_settings

FARM = "deadline/farms/farm-" + "1" * 32
QUEUE = f"{FARM}/queues/queue-" + "2" * 32
JOB = f"{QUEUE}/jobs/job-" + "3" * 32
STEP = f"{JOB}/steps/step-" + "4" * 32
TASK = f"{STEP}/tasks/task-" + "5" * 32 + "-0"
IDS = dict(
    zip(["farmId", "queueId", "jobId", "stepId", "taskId"], TASK.split("/")[2::2], strict=True)
)


def deadline(*members: str, source: str = "aws.deadline", **more: Any) -> dict[str, Any]:
    ids = {member: IDS[member] for member in members}
    return {"source": source, "resources": [], "detail": {**ids, **more}}


def omics(arn: str, **more: str) -> dict[str, Any]:
    arn = f"arn:aws:omics:us-west-2:123456789012:{arn}"
    return {"source": "aws.omics", "resources": [arn], "detail": {"arn": arn, **more}}


RUN_ARN = "arn:aws:omics:us-west-2:123456789012:run/2101313"


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (deadline(*IDS, runStatus="SUCCEEDED", previousRunStatus="RUNNING"), TASK),
        (deadline(*IDS, source="aws.aws.deadline", runStatus="READY"), TASK),
        (deadline("farmId", "queueId", "jobId", "stepId", taskRunStatus="SUCCEEDED"), STEP),
        (deadline("farmId", "queueId", "jobId", lifecycleStatus="CREATE_COMPLETE"), JOB),
        (omics("task/8888888", runArn=RUN_ARN, runId="1"), "omics/runs/2101313/tasks/8888888"),
        (omics("task/8888888", runId="7654321"), "omics/runs/7654321/tasks/8888888"),
        (omics("run/2101313", runId="1234567"), "omics/runs/2101313"),
        # Of no interest.
        (deadline("farmId", budgetId="b"), None),
        (deadline("farmId", "queueId"), None),
        (omics("workflow/1234567"), None),
        ({"source": "aws.s3", "detail": IDS}, None),
        # Broken.
        (deadline(*IDS) | {"detail": None}, None),
        (deadline(*IDS) | {"detail": [1]}, None),
        (deadline(*IDS, farmId="farm-x"), None),
        (deadline("farmId", "queueId", "jobId", stepId=5, taskId={"a": 1}), JOB),
        (omics("task/"), None),
        (omics("task/x", runArn=RUN_ARN), None),
        (omics("task/1"), None),
        (omics("task/1", runArn=RUN_ARN.replace("run", "task"), runId="6"), "omics/runs/6/tasks/1"),
    ],
)
def test_the_name_in_an_event(event: dict[str, Any], name: str | None) -> None:
    assert name_in(json.dumps(event)) == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(list(IDS.values())),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from([*IDS, "arn", "runArn", "runId", "source"]), inner)
    ),
)


@given(
    st.sampled_from(["aws.deadline", "aws.aws.deadline", "aws.omics", "", None]), JSON, st.text()
)
def test_garbage_is_no_event(source: str | None, detail: Any, text: str) -> None:
    event = json.dumps({"source": source, "detail": detail})
    for body in (event, event[: len(text)], text, json.dumps(detail), "[" * 100_000):
        name = name_in(body)
        assert name is None or name.startswith(("deadline/farms/farm-", "omics/runs/"))


@pytest.mark.parametrize(
    ("url", "endpoint", "region"),
    [
        (
            "https://sqs.eu-west-1.amazonaws.com/1/q",
            "https://sqs.eu-west-1.amazonaws.com",
            "eu-west-1",
        ),
        (
            "https://vpce-1-a.sqs.us-gov-west-1.vpce.amazonaws.com/1/q",
            "https://vpce-1-a.sqs.us-gov-west-1.vpce.amazonaws.com",
            "us-gov-west-1",
        ),
        ("http://127.0.0.1:5000/1/q", "http://127.0.0.1:5000", "us-west-2"),
    ],
)
def test_where_the_queue_is(url: str, endpoint: str, region: str) -> None:
    settings = queue_settings(url, AwsSettings(region="us-west-2", read_timeout_seconds=3))
    assert (settings.endpoint_url, settings.region) == (endpoint, region)
    assert settings.read_timeout_seconds > 20
