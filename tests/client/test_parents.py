"""The job or run that calls send as metadata for proxies."""

from __future__ import annotations

from typing import Any

import pytest

from taskgate.v1 import task_service_pb2, task_update_pb2, task_watch_pb2
from taskgate_client import Client, aio, connect
from taskgate_client.parents import PARENT_KEY, parent_of, parent_of_task, shared_parent
from tests.support.fake_service import FakeTaskService, end, page, snapshot, task

JOB = "deadline/farms/farm-1/queues/queue-2/jobs/job-3"
RUN = "omics/runs/1234567"


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        (f"{JOB}/steps/step-4/tasks/task-5", JOB),
        (f"{JOB}/steps/step-4", JOB),
        (JOB, JOB),
        ("deadline/farms/farm-1/queues/queue-2", "deadline/farms/farm-1/queues/queue-2"),
        (f"{RUN}/tasks/8", RUN),
        (RUN, RUN),
        (
            "deadline/farms/jobs/queues/runs/jobs/job-3/steps/s",
            "deadline/farms/jobs/queues/runs/jobs/job-3",
        ),
        ("no name", "no name"),
    ],
)
def test_the_parent_of_a_name_is_its_job_or_run(name: str, parent: str) -> None:
    assert parent_of(name) == parent


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        (f"{RUN}/tasks/8", RUN),
        ("batch/queues/q/jobs/j", "batch/queues/q"),
        ("batch/queues/q/jobs/j/childJobs/3", "batch/queues/q/jobs/j"),
        ("batch/queues/q", "batch/queues/q"),
        ("no name", "no name"),
    ],
)
def test_the_parent_of_a_task_of_any_service_is_what_contains_it(name: str, parent: str) -> None:
    assert parent_of_task(name) == parent
    assert shared_parent(task_service_pb2.GetTaskRequest(name=name)) == parent


def test_a_parent_of_an_unknown_service_is_its_own() -> None:
    request = task_service_pb2.ListTasksRequest(parent="batch/queues/q/jobs/j")
    assert shared_parent(request) == "batch/queues/q/jobs/j"


def test_names_with_one_parent_share_it() -> None:
    names = [f"{RUN}/tasks/{number}" for number in range(3)]
    together = task_service_pb2.BatchGetTasksRequest(names=names)
    assert shared_parent(together) == RUN
    assert (
        shared_parent(task_watch_pb2.WatchTasksRequest(names=[*names, f"{JOB}/steps/s/tasks/t"]))
        is None
    )
    updates = [task_update_pb2.TaskUpdate(name=name) for name in names]
    assert shared_parent(task_update_pb2.BatchUpdateTasksRequest(updates=updates)) == RUN


@pytest.mark.parametrize("name", ["omics/runs/größe/tasks/1", "omics/runs/1\n/tasks/1", ""])
def test_a_name_that_is_not_printable_ascii_has_no_shared_parent(name: str) -> None:
    assert shared_parent(task_service_pb2.GetTaskRequest(name=name)) is None
    assert shared_parent(task_service_pb2.BatchGetTasksRequest(names=[name])) is None


def test_a_request_without_names_has_no_shared_parent() -> None:
    assert shared_parent(task_service_pb2.GetServerInfoRequest()) is None


def script(fake: FakeTaskService) -> None:
    fake.script("GetTask", task_service_pb2.GetTaskResponse(task=task(1)))
    fake.script("ListTasks", page(task(1), token="more"), page(task(2)))
    fake.script("WatchTasks", [*snapshot(task(1)), end()])
    fake.script("WaitTask", task_watch_pb2.WaitTaskResponse(task=task(1), done=True))
    fake.script("GetServerInfo", task_service_pb2.GetServerInfoResponse())


SENT = {
    "GetTask": [RUN],
    "ListTasks": [RUN, RUN],
    "WatchTasks": [RUN],
    "WaitTask": [RUN],
    "GetServerInfo": [None],
}


def test_the_client_sends_the_parent_with_each_call(client: Client, fake: FakeTaskService) -> None:
    script(fake)
    client.get_task(f"{RUN}/tasks/1")
    list(client.list_tasks(RUN))
    list(client.watch_tasks(RUN))
    client.wait_task(f"{RUN}/tasks/1")
    client.get_server_info()
    assert sent_parents(fake) == SENT


async def test_the_asyncio_client_sends_the_parent_with_each_call(
    address: str, fake: FakeTaskService
) -> None:
    script(fake)
    async with aio.connect(address) as client:
        await client.get_task(f"{RUN}/tasks/1")
        [each async for each in client.list_tasks(RUN)]
        [each async for each in client.watch_tasks(RUN)]
        await client.wait_task(f"{RUN}/tasks/1")
        await client.get_server_info()
    assert sent_parents(fake) == SENT


def test_the_parent_is_sent_beside_the_target(address: str, fake: FakeTaskService) -> None:
    script(fake)
    with connect(address, target="studio") as client:
        client.get_task(f"{RUN}/tasks/1")
    (metadata,) = fake.metadata["GetTask"]
    assert metadata[PARENT_KEY] == RUN
    assert metadata["taskgate-target"] == "studio"


def test_a_name_that_is_not_ascii_reaches_the_server(client: Client, fake: FakeTaskService) -> None:
    script(fake)
    client.get_task("omics/runs/größe/tasks/1")
    assert fake.requests["GetTask"][0].name == "omics/runs/größe/tasks/1"
    assert sent_parents(fake) == {"GetTask": [None]}


def sent_parents(fake: FakeTaskService) -> dict[str, list[Any]]:
    return {rpc: [each.get(PARENT_KEY) for each in calls] for rpc, calls in fake.metadata.items()}
