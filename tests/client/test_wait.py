"""Waiting: asked again until it is done or the time is up."""

from __future__ import annotations

import grpc
import pytest

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_client import CallError, Client, Timing, connect
from taskgate_client.waiting import MAX_WAIT_SECONDS
from tests.support.fake_service import RUN, Failure, FakeTaskService, task

NAME = f"{RUN}/tasks/1"
RUNNING = task_watch_pb2.WaitTaskResponse(task=task(1))
DONE = task_watch_pb2.WaitTaskResponse(task=task(1, task_pb2.TASK_STATE_FAILED), done=True)
LOST = Failure(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_it_asks_until_it_is_done(
    client: Client, fake: FakeTaskService, slept: list[float]
) -> None:
    fake.script("WaitTask", RUNNING, LOST, RUNNING, DONE)
    assert client.wait_task(NAME, [task_pb2.TASK_STATE_SUCCEEDED]) == DONE
    requests = fake.requests["WaitTask"]
    assert [each.name for each in requests] == [NAME] * 4
    assert list(requests[0].states) == [task_pb2.TASK_STATE_SUCCEEDED]
    assert slept == [1.0, 0.5, 1.0]  # the fake answers at once, which no server at rest does


def test_the_time_limit_goes_to_the_server(client: Client, fake: FakeTaskService) -> None:
    fake.script("WaitTask", DONE)
    client.wait_task(NAME, time_limit=20)
    client.wait_task(NAME)
    limited, unlimited = fake.time_limits["WaitTask"]
    assert limited is not None
    assert 10 < limited < 22  # gRPC rounds up
    assert unlimited is not None
    assert 290 < unlimited < 302


def test_each_call_ends_before_a_proxy_cuts_it(client: Client, fake: FakeTaskService) -> None:
    fake.script("WaitTask", RUNNING, DONE)
    client.wait_task(NAME)
    assert [each.max_wait.seconds for each in fake.requests["WaitTask"]] == [MAX_WAIT_SECONDS] * 2


def test_when_the_time_is_up_the_task_is_told_as_it_is(address: str, fake: FakeTaskService) -> None:
    now = [100.0]

    def answer_late(_: object) -> task_watch_pb2.WaitTaskResponse:
        now[0] += 9.75
        return RUNNING

    fake.script("WaitTask", answer_late)
    with connect(address, Timing(clock=lambda: now[0], sleep=lambda _: None)) as client:
        assert client.wait_task(NAME, time_limit=20) == RUNNING
    assert len(fake.requests["WaitTask"]) == 2


def test_time_up_without_any_answer(client: Client, fake: FakeTaskService) -> None:
    fake.script("WaitTask", Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "AWS was slow"))
    with pytest.raises(CallError, match="AWS was slow"):
        client.wait_task(NAME, time_limit=0.5)


def test_a_task_that_vanishes(client: Client, fake: FakeTaskService) -> None:
    fake.script("WaitTask", RUNNING, Failure(grpc.StatusCode.NOT_FOUND, "it has gone"))
    with pytest.raises(CallError, match="it has gone"):
        client.wait_task(NAME)


def test_a_server_that_was_never_there() -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(CallError) as caught:
        client.wait_task(NAME)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_that_goes_during_the_first_call_is_waited_for(
    address: str, fake: FakeTaskService
) -> None:
    now = [0.0]

    def lose(_: object) -> Failure:
        now[0] += 100
        return LOST

    fake.script("WaitTask", lose, DONE)
    with connect(address, Timing(clock=lambda: now[0], sleep=lambda _: None)) as client:
        assert client.wait_task(NAME) == DONE
