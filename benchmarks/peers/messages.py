"""What botocore answers as messages, as one writes it by hand: what the gRPC peers share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks import workload
from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2

WORDS: Mapping[str, Any] = deadline_pb2.TaskRunStatus.DESCRIPTOR.values_by_name
OMICS_WORDS: Mapping[str, Any] = omics_pb2.TaskStatus.DESCRIPTOR.values_by_name


def timestamp(value: Any) -> Timestamp | None:
    """Convert a datetime to protobuf."""
    if value is None:
        return None
    return Timestamp(seconds=int(value.timestamp()), nanos=value.microsecond * 1000)


def task_message(task: Mapping[str, Any]) -> deadline_pb2.GetTaskResponse:
    """Convert the response of GetTask to a message."""
    return deadline_pb2.GetTaskResponse(
        task_id=task["taskId"],
        created_at=timestamp(task["createdAt"]),
        created_by=task["createdBy"],
        run_status=WORDS[f"TASK_RUN_STATUS_{task['runStatus']}"].number,
        failure_retry_count=task.get("failureRetryCount"),
        started_at=timestamp(task.get("startedAt")),
        ended_at=timestamp(task.get("endedAt")),
        updated_at=timestamp(task.get("updatedAt")),
        updated_by=task.get("updatedBy"),
        latest_session_action_id=task.get("latestSessionActionId"),
        parameters={
            name: deadline_pb2.TaskParameterValue(**value)
            for name, value in task.get("parameters", {}).items()
        },
    )


def run_task_message(task: Mapping[str, Any]) -> omics_pb2.GetRunTaskResponse:
    """Convert the response of GetRunTask to a message."""
    return omics_pb2.GetRunTaskResponse(
        task_id=task["taskId"],
        status=OMICS_WORDS[f"TASK_STATUS_{task['status']}"].number,
        name=task.get("name"),
        cpus=task.get("cpus"),
        memory=task.get("memory"),
        creation_time=timestamp(task.get("creationTime")),
        start_time=timestamp(task.get("startTime")),
        instance_type=task.get("instanceType"),
        log_stream=task.get("logStream"),
    )


def task_params(request: deadline_pb2.GetTaskRequest) -> dict[str, str]:
    """Convert a request to boto3's parameters."""
    return {
        "farmId": request.farm_id,
        "queueId": request.queue_id,
        "jobId": request.job_id,
        "stepId": request.step_id,
        "taskId": request.task_id,
    }


WHEN = datetime(2026, 11, 20, 8, 0, 0, 123000, tzinfo=UTC)

PREBUILT = task_message(
    {
        "taskId": workload.task_params(1)["taskId"],
        "createdAt": WHEN,
        "createdBy": "arn:aws:sts::123456789012:assumed-role/Artists/sam",
        "runStatus": "RUNNING",
        "failureRetryCount": 1,
        "startedAt": WHEN,
        "updatedAt": WHEN,
        "updatedBy": "arn:aws:iam::123456789012:role/Worker",
        "latestSessionActionId": f"sessionaction-{'0123456789abcdef' * 2}-7",
        "parameters": {"Frame": {"int": "17"}, "Camera": {"string": "main"}},
    }
).SerializeToString()
"""The message of the task that the stub returns, for the peers that only return bytes."""
