"""Retries and load balancing of a channel: reads are retried, writes are not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc, task_update_pb2
from taskgate_client import CallError, Client, aio, connect
from taskgate_client.service_config import service_config
from tests.support.fake_service import RUN, Failure, FakeTaskService, serving, task

NAME = f"{RUN}/tasks/1"
GONE = Failure(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_a_read_is_retried(client: Client, fake: FakeTaskService) -> None:
    response = task_service_pb2.GetTaskResponse(task=task(1))
    fake.script("GetTask", GONE, GONE, response)
    assert client.get_task(NAME) == task(1)
    assert len(fake.requests["GetTask"]) == 3


@pytest.mark.parametrize(
    ("rpc", "call"),
    [
        ("CancelTask", lambda client: client.cancel_task(NAME)),
        ("BatchUpdateTasks", lambda client: client.batch_update_tasks({NAME: 1})),
    ],
)
def test_a_write_is_not_retried(
    client: Client, fake: FakeTaskService, rpc: str, call: Callable[[Client], object]
) -> None:
    fake.script(rpc, GONE, task_update_pb2.CancelTaskResponse())
    with pytest.raises(CallError, match="Socket closed"):
        call(client)
    assert len(fake.requests[rpc]) == 1


def test_rpcs_of_other_stubs_are_retried_if_they_are_listed(
    address: str, fake: FakeTaskService
) -> None:
    path = "/taskgate.v1.TaskService/CancelTask"
    fake.script("CancelTask", GONE, task_update_pb2.CancelTaskResponse(task=task(1)))
    with connect(address, retried=[path], target="studio") as client:
        stub = client.stub(task_service_pb2_grpc.TaskServiceStub)
        assert stub.CancelTask(task_update_pb2.CancelTaskRequest(name=NAME)).task == task(1)
    assert len(fake.requests["CancelTask"]) == 2


async def _cancel(address: str) -> task_pb2.Task:
    async with aio.connect(address, retried=["/taskgate.v1.TaskService/CancelTask"]) as client:
        stub: Any = client.stub(task_service_pb2_grpc.TaskServiceStub)
        response = await stub.CancelTask(task_update_pb2.CancelTaskRequest(name=NAME))
        found: task_pb2.Task = response.task
        return found


def test_rpcs_of_other_stubs_are_retried_with_asyncio(address: str, fake: FakeTaskService) -> None:
    fake.script("CancelTask", GONE, task_update_pb2.CancelTaskResponse(task=task(1)))
    assert asyncio.run(_cancel(address)) == task(1)
    assert len(fake.requests["CancelTask"]) == 2


def test_only_reads_have_a_retry_policy() -> None:
    (config,) = json.loads(service_config(balance=False))["methodConfig"]
    methods = {(each["service"].rpartition(".")[2], each["method"]) for each in config["name"]}
    assert {("TaskService", "GetTask"), ("OmicsService", "ListRuns")} < methods
    assert {("DeadlineService", "SearchTasks"), ("TaskService", "SummarizeTasks")} < methods
    for _, method in methods:
        assert method.startswith(("Get", "List", "Search", "Summarize", "BatchGet"))


def test_several_servers_are_called_in_turn() -> None:
    fakes = [FakeTaskService(), FakeTaskService()]
    for fake in fakes:
        fake.script("GetTask", task_service_pb2.GetTaskResponse(task=task(1)))
    with (
        serving(fakes[0]) as one,
        serving(fakes[1]) as other,
        connect(f"ipv4:{one},{other}", balance=True) as client,
    ):
        for _ in range(10_000):  # the second connection may be ready later
            client.get_task(NAME)
            if all(fake.requests["GetTask"] for fake in fakes):
                return
    raise AssertionError([len(fake.requests["GetTask"]) for fake in fakes])


def test_the_shared_service_config_is_up_to_date() -> None:
    file = Path(__file__).parents[2] / "clients/service-config.json"
    assert json.loads(file.read_text()) == json.loads(service_config(balance=True))
