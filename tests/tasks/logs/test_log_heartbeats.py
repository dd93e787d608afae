"""Heartbeats of followed logs."""

from __future__ import annotations

from typing import Any

import pytest

from taskgate.v1 import task_service_pb2_grpc
from taskgate_emulator import Emulator
from tests.support.call_errors import error_of
from tests.support.task_logs import QUEUE_GROUP, SESSION, TASK, Logs, Request, action

pytestmark = pytest.mark.timed


def test_followed_log_without_new_lines_sends_heartbeats(
    aws: Emulator, logs: Logs, stub: task_service_pb2_grpc.TaskServiceStub
) -> None:
    logs.write(QUEUE_GROUP, SESSION, [(11, "one")])
    running = action(3, 10, None)
    body = {"runStatus": "RUNNING", "latestSessionActionId": running["sessionActionId"]}
    aws.respond("deadline", "GetTask", body={"taskId": "t", **body}, times=100)
    aws.respond("deadline", "ListSessionActions", body={"sessionActions": [running]}, times=100)
    aws.respond("deadline", "GetSessionAction", body=running, times=100)
    request = Request(name=TASK, follow=True)
    request.heartbeat_interval.FromSeconds(1)
    stream: Any = stub.StreamTaskLogs(request)
    parts = [next(stream).WhichOneof("part") for _ in range(4)]
    assert parts == ["source", "lines", "heartbeat", "heartbeat"]
    logs.write(QUEUE_GROUP, SESSION, [(12, "two")])
    part = next(each for each in stream if each.WhichOneof("part") != "heartbeat")
    assert [line.message for line in part.lines.lines] == ["two"]
    stream.cancel()


@pytest.mark.parametrize("seconds", [0, 61])
def test_invalid_heartbeat_interval_is_refused(
    stub: task_service_pb2_grpc.TaskServiceStub, seconds: int
) -> None:
    request = Request(name=TASK, follow=True)
    request.heartbeat_interval.FromSeconds(seconds)
    error = error_of(lambda: list(stub.StreamTaskLogs(request)))
    assert [violation.field for violation in error.violations] == ["heartbeat_interval"]
