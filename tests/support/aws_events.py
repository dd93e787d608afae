"""Events of AWS Deadline Cloud and AWS HealthOmics, as EventBridge delivers them."""

from __future__ import annotations

from typing import Any

FARM = "deadline/farms/farm-" + "1" * 32
QUEUE = f"{FARM}/queues/queue-" + "2" * 32
JOB = f"{QUEUE}/jobs/job-" + "3" * 32
STEP = f"{JOB}/steps/step-" + "4" * 32
TASK = f"{STEP}/tasks/task-" + "5" * 32 + "-0"
IDS = dict(
    zip(["farmId", "queueId", "jobId", "stepId", "taskId"], TASK.split("/")[2::2], strict=True)
)


def deadline_event(*members: str, source: str = "aws.deadline", **more: Any) -> dict[str, Any]:
    ids = {member: IDS[member] for member in members}
    return {"source": source, "resources": [], "detail": {**ids, **more}}


def omics_event(arn: str, **more: str) -> dict[str, Any]:
    arn = f"arn:aws:omics:us-west-2:123456789012:{arn}"
    return {"source": "aws.omics", "resources": [arn], "detail": {"arn": arn, **more}}


RUN_ARN = "arn:aws:omics:us-west-2:123456789012:run/2101313"
