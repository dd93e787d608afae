"""An event out of a queue wakes the watch that it concerns: SQS by moto, all over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import grpc
import pytest

from taskgate.v1 import task_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from tests.support.running_server import REGION, running_server, settings_for

TASKS = 150
"""More than are listed at each poll: settled tasks are read again only after minutes."""


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator(seed="empty") as emulator:
        yield emulator


def test_event_makes_its_task_be_read_at_once(aws: Emulator) -> None:
    job = aws.jobs.add([TASKS], status="SUCCEEDED")
    task = job.task(7)
    aws.jobs.move(job.task(8), "FAILED")
    sqs = boto3.client("sqs", endpoint_url=aws.endpoint_url, region_name=REGION)
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    settings = settings_for(aws.endpoint_url)
    one = settings.aws["deadline"].model_copy(update={"events_queue_url": url})
    settings = settings.model_copy(update={"aws": {**settings.aws, "deadline": one}})
    request = task_watch_pb2.WatchTasksRequest(parent=name_of(job.ids))
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        events = task_service_pb2_grpc.TaskServiceStub(channel).WatchTasks(request, timeout=25)
        for event in events:
            if event.HasField("snapshot_end"):
                assert event.snapshot_end.task_count == TASKS
                break
        # Two tasks change places, so that AWS counts as before: a poll does not see that.
        aws.jobs.move(task, "FAILED")
        aws.jobs.move(job.task(8), "SUCCEEDED")
        detail = {**task, "previousRunStatus": "SUCCEEDED", "runStatus": "FAILED"}
        message = {
            "source": "aws.deadline",
            "detail-type": "Task Run Status Change",
            "detail": detail,
        }
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(message))
        change = next(event.task_change for event in events if event.HasField("task_change"))
        events.cancel()
    sqs.close()
    assert change.task.name == name_of(task)
    assert change.task.state == task_pb2.TASK_STATE_FAILED
    read = [each for each in aws.requests if each.operation in {"GetTask", "BatchGetTask"}]
    assert any(task["taskId"] in f"{each.raw_path}{each.body!r}" for each in read)


def name_of(ids: dict[str, str]) -> str:
    kinds = ("farm", "queue", "job", "step", "task")
    parts = [f"{kind}s/{ids[f'{kind}Id']}" for kind in kinds if f"{kind}Id" in ids]
    return "/".join(["deadline", *parts])
