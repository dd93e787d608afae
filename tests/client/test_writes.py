"""What the client remembers of its writes, and the metadata of later reads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_update_pb2
from taskgate_client import CallError, Client, aio
from taskgate_client.parents import roots_in
from taskgate_client.writes import MAX_PARENTS, MAX_SECONDS, SINCE_WRITE_KEY, Writes, is_write
from taskgate_server.auth.actions import is_read
from taskgate_server.rpc.handlers import load_contract
from taskgate_server.services import registry
from tests.support.fake_service import Failure, FakeTaskService, task

JOB = "deadline/farms/farm-1/queues/queue-2/jobs/job-3"
TASK = f"{JOB}/steps/step-4/tasks/task-5"
RUN = "omics/runs/1234567"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writes(clock: Clock) -> Writes:
    return Writes(clock)


def test_a_read_sends_the_time_since_the_end_of_a_write(writes: Writes, clock: Clock) -> None:
    assert writes.since([JOB]) is None
    writes.record([JOB])
    assert writes.since([JOB]) == "0.000"
    clock.now += 12.0349
    assert writes.since([JOB]) == "12.034", "rounded down, which makes the response fresher"


def test_a_write_concerns_reads_of_its_parents_and_of_anything_else(
    writes: Writes, clock: Clock
) -> None:
    writes.record([JOB])
    clock.now += 1
    assert writes.since([RUN]) is None
    assert writes.since([RUN, JOB]) == "1.000"
    assert writes.since(None) == "1.000"


def test_a_write_of_anything_concerns_all_reads(writes: Writes, clock: Clock) -> None:
    writes.record([JOB])
    clock.now += 1
    writes.record(None)
    clock.now += 1
    assert [writes.since(each) for each in ([JOB], [RUN], None)] == ["1.000"] * 3
    writes.record([JOB])
    assert [writes.since(each) for each in ([JOB], [RUN], None)] == ["0.000", "1.000", "0.000"]


def test_old_writes_are_not_sent(writes: Writes, clock: Clock) -> None:
    writes.record([JOB])
    clock.now += MAX_SECONDS
    assert writes.since([JOB]) == "300.000"
    clock.now += 0.001
    assert writes.since([JOB]) is None


def test_forgotten_writes_concern_all_reads(writes: Writes, clock: Clock) -> None:
    writes.record([str(number) for number in range(MAX_PARENTS)])
    assert writes.since(["never written"]) is None
    clock.now += 1
    writes.record(["one more"])
    clock.now += 1
    assert writes.since(["never written"]) == "1.000"
    assert writes.since(["7"]) == "1.000"


def test_a_write_counts_as_ending_until_its_end_is_known(writes: Writes, clock: Clock) -> None:
    end = writes.run([JOB])
    clock.now += 5
    assert not writes.is_empty
    assert writes.since([RUN]) is None
    assert [writes.since(each) for each in ([JOB], [RUN, JOB], None)] == ["0.000"] * 3
    end()
    clock.now += 5
    assert writes.since([JOB]) == "5.000"


def test_a_future_of_a_write_counts_before_its_callbacks_run(
    client: Client, fake: FakeTaskService
) -> None:
    make_scripts(fake, UPDATED)
    future = client.stub(task_service_pb2_grpc.TaskServiceStub).CancelTask.future(CANCEL)
    client.get_task(NAME)
    future.result()
    client.get_task(NAME)
    assert has_since_write(fake) == [True, True]


@pytest.mark.parametrize(
    ("request_", "roots"),
    [
        (task_service_pb2.GetTaskRequest(name=TASK), {JOB}),
        (task_service_pb2.ListTasksRequest(parent=f"{JOB}/steps/step-4"), {JOB}),
        (task_service_pb2.BatchGetTasksRequest(names=[TASK, f"{RUN}/tasks/1"]), {JOB, RUN}),
        (
            task_update_pb2.BatchUpdateTasksRequest(
                updates=[task_update_pb2.TaskUpdate(name=TASK)]
            ),
            {JOB},
        ),
        (task_service_pb2.ListTasksRequest(parent="deadline/farms/f/queues/q"), None),
        (task_service_pb2.BatchGetTasksRequest(names=[TASK, "batch/queues/q/jobs/j"]), None),
        (task_service_pb2.GetServerInfoRequest(), None),
    ],
)
def test_a_request_concerns_certain_jobs_and_runs(
    request_: Message, roots: set[str] | None
) -> None:
    assert roots_in(request_) == roots


def test_the_client_knows_which_rpcs_write() -> None:
    services = [load_contract(spec) for spec in registry.SERVICES]
    services.append(task_service_pb2.DESCRIPTOR.services_by_name["TaskService"])
    paths = [f"{each.full_name}/{method.name}" for each in services for method in each.methods]
    assert len(paths) > 200
    assert [path for path in paths if is_write(f"/{path}") == is_read(path)] == []
    assert not is_write("/grpc.health.v1.Health/Check")


def make_scripts(fake: FakeTaskService, write: Any) -> None:
    fake.script("GetTask", task_service_pb2.GetTaskResponse(task=task(1)))
    fake.script("CancelTask", write)


def has_since_write(fake: FakeTaskService) -> list[bool]:
    """Return for each GetTask whether its metadata had the time since a write."""
    return [SINCE_WRITE_KEY in metadata for metadata in fake.metadata["GetTask"]]


UPDATED = task_update_pb2.CancelTaskResponse(task=task(1))
NAME = f"{RUN}/tasks/1"
CANCEL = task_update_pb2.CancelTaskRequest(name=NAME)

WAYS: list[Callable[[Any], object]] = [
    lambda stub: stub.CancelTask(CANCEL),
    lambda stub: stub.CancelTask.with_call(CANCEL),
    lambda stub: stub.CancelTask.future(CANCEL).exception(),
]


@pytest.mark.parametrize("response", [UPDATED, Failure(grpc.StatusCode.UNAVAILABLE)])
@pytest.mark.parametrize("write", WAYS)
def test_a_write_counts_whatever_its_outcome_is(
    client: Client, fake: FakeTaskService, write: Callable[[Any], object], response: Any
) -> None:
    make_scripts(fake, response)
    client.get_task(NAME)
    with suppress(grpc.RpcError):
        write(client.stub(task_service_pb2_grpc.TaskServiceStub))
    client.get_task(NAME)
    assert has_since_write(fake) == [False, True]
    assert SINCE_WRITE_KEY not in fake.metadata["CancelTask"][0]


def test_reads_of_other_runs_do_not_send_it(client: Client, fake: FakeTaskService) -> None:
    make_scripts(fake, UPDATED)
    client.cancel_task(NAME)
    client.get_task("omics/runs/7654321/tasks/1")
    assert has_since_write(fake) == [False]


def test_reads_do_not_count_as_writes(client: Client, fake: FakeTaskService) -> None:
    make_scripts(fake, UPDATED)
    with pytest.raises(CallError):
        client.is_serving()  # the fake has no health service
    client.get_task(NAME)
    client.get_task(NAME)
    assert has_since_write(fake) == [False, False]


@pytest.mark.parametrize("response", [UPDATED, Failure(grpc.StatusCode.UNAVAILABLE)])
async def test_a_write_of_the_asyncio_client_counts_whatever_its_outcome_is(
    address: str, fake: FakeTaskService, response: Any
) -> None:
    make_scripts(fake, response)
    async with aio.connect(address) as client:
        await client.get_task(NAME)
        with suppress(CallError):
            await client.cancel_task(NAME)
        await client.get_task(NAME)
    assert has_since_write(fake) == [False, True]


async def test_a_cancelled_write_of_the_asyncio_client_counts(
    address: str, fake: FakeTaskService
) -> None:
    received, may_respond = threading.Event(), threading.Event()

    def respond(_: Message) -> Message:
        received.set()
        may_respond.wait(30)
        return UPDATED

    make_scripts(fake, respond)
    async with aio.connect(address) as client:
        write = asyncio.create_task(client.cancel_task(NAME))
        await asyncio.to_thread(received.wait, 30)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        await client.get_task(NAME)
    may_respond.set()
    assert has_since_write(fake) == [True]
