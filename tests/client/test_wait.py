"""`wait_task` calls until the wait is done or has timed out."""

from __future__ import annotations

import grpc
import pytest

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client import CallError, Client, Timing, connect
from taskgate_client.wait_session import MAX_WAIT_SECONDS
from tests.support.fake_service import RUN, Failure, FakeTaskService, task

NAME = f"{RUN}/tasks/1"
RUNNING = task_watch_pb2.WaitTaskResponse(task=task(1))
DONE = task_watch_pb2.WaitTaskResponse(task=task(1, task_pb2.TASK_STATE_FAILED), done=True)
LOST = Failure(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_it_calls_until_done(client: Client, fake: FakeTaskService, slept: list[float]) -> None:
    fake.script("WaitTask", RUNNING, LOST, RUNNING, DONE)
    assert client.wait_task(NAME, [task_pb2.TASK_STATE_SUCCEEDED]) == DONE
    requests = fake.requests["WaitTask"]
    assert [each.name for each in requests] == [NAME] * 4
    assert list(requests[0].states) == [task_pb2.TASK_STATE_SUCCEEDED]
    assert slept == [
        1.0,
        0.5,
        1.0,
    ]  # a real server responds only after a change, or at its shutdown


def test_the_timeout_is_that_of_the_calls(client: Client, fake: FakeTaskService) -> None:
    fake.script("WaitTask", DONE)
    client.wait_task(NAME, timeout=20)
    client.wait_task(NAME)
    with_timeout, without = fake.timeouts["WaitTask"]
    assert with_timeout is not None
    assert 10 < with_timeout < 22  # gRPC rounds up
    assert without is not None
    assert 290 < without < 302


def test_each_call_is_shorter_than_the_limit_of_proxies(
    client: Client, fake: FakeTaskService
) -> None:
    fake.script("WaitTask", RUNNING, DONE)
    client.wait_task(NAME)
    assert [each.max_wait.seconds for each in fake.requests["WaitTask"]] == [MAX_WAIT_SECONDS] * 2


def test_a_wait_that_times_out_returns_the_latest_task(address: str, fake: FakeTaskService) -> None:
    now = [100.0]

    def respond_late(_: object) -> task_watch_pb2.WaitTaskResponse:
        now[0] += 9.75
        return RUNNING

    fake.script("WaitTask", respond_late)
    with connect(address, timing=Timing(clock=lambda: now[0], wait=lambda *_: None)) as client:
        assert client.wait_task(NAME, timeout=20) == RUNNING
    assert len(fake.requests["WaitTask"]) == 2


def test_a_wait_that_times_out_without_a_response_raises(
    client: Client, fake: FakeTaskService
) -> None:
    fake.script("WaitTask", Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "AWS was slow"))
    with pytest.raises(CallError, match="AWS was slow"):
        client.wait_task(NAME, timeout=0.5)


def test_a_deleted_task_raises(client: Client, fake: FakeTaskService) -> None:
    fake.script("WaitTask", RUNNING, Failure(grpc.StatusCode.NOT_FOUND, "it has gone"))
    with pytest.raises(CallError, match="it has gone"):
        client.wait_task(NAME)


def test_a_server_that_never_responded_is_not_retried() -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(CallError) as caught:
        client.wait_task(NAME)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_lost_during_the_first_call_is_retried(
    address: str, fake: FakeTaskService
) -> None:
    now = [0.0]

    def lose(_: object) -> Failure:
        now[0] += 100
        return LOST

    fake.script("WaitTask", lose, DONE)
    with connect(address, timing=Timing(clock=lambda: now[0], wait=lambda *_: None)) as client:
        assert client.wait_task(NAME) == DONE
