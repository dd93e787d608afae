"""Logs and events of the emulator's tasks, through Taskgate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import pytest

from taskgate.v1 import task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.core.state import ACCOUNT_ID, Account
from taskgate_emulator.seeds import ids as seed
from taskgate_server import aws_connections
from taskgate_server.config import AwsSettings
from tests.support.demo_names import CANCELED
from tests.support.event_queue import Hints, RuleQueue
from tests.support.running_server import REGION, running_server, settings_for
from tests.support.task_logs import JOB, QUEUE_GROUP, RUN_TASK, Request, log_of


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def stub(aws: Emulator) -> Iterator[task_service_pb2_grpc.TaskServiceStub]:
    settings = settings_for(aws.endpoint_url)
    with_logs = settings.aws["omics"].model_copy(update={"logs_endpoint_url": aws.endpoint_url})
    settings = settings_for(aws.endpoint_url, aws={"deadline": with_logs, "omics": with_logs})
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        yield task_service_pb2_grpc.TaskServiceStub(channel)


@pytest.mark.parametrize("follow", [False, True])
def test_the_log_of_a_run_task(
    aws: Emulator, stub: task_service_pb2_grpc.TaskServiceStub, *, follow: bool
) -> None:
    place = ("/aws/omics/WorkflowLog", f"run/{seed.RUN_ID}/task/{seed.FAILED_RUN_TASK_ID}")

    def write(account: Account) -> None:
        account.write_log(*place, account.now, "out of memory")

    aws.edit(write)
    request = Request(name=RUN_TASK, follow=follow)
    source, messages = log_of(stub.StreamTaskLogs(request))
    assert (source.log_group, source.log_stream) == place
    assert messages[-1] == "out of memory"  # the demo has lines of its own before it


async def test_an_event_becomes_a_hint(aws: Emulator) -> None:
    hints, queue = Hints(), await asyncio.to_thread(RuleQueue, aws.endpoint_url, ACCOUNT_ID)
    consumer = aws_connections.make_event_queue(queue.url, AwsSettings(region=REGION), hints)
    running = asyncio.ensure_future(consumer.run())

    def emit(account: Account) -> None:
        ids = CANCELED.split("/")[2::2]
        detail = dict(zip(["farmId", "queueId", "jobId", "stepId", "taskId"], ids, strict=True))
        account.emit_event("aws.deadline", "Task Run Status Change", detail, at=account.now)

    await asyncio.to_thread(aws.edit, emit)
    await hints.wait_until(lambda: hints == [CANCELED])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


RENDER = f"{JOB}/steps/{seed.RENDER_STEP_ID}/tasks"


@pytest.mark.parametrize(("attempt", "code"), [(1, 1), (2, 0), (None, 0)])
def test_each_attempt_has_its_log(
    stub: task_service_pb2_grpc.TaskServiceStub,
    attempt: int | None,
    code: int,
) -> None:
    request = Request(name=f"{RENDER}/{seed.RETRIED_TASK_ID}", attempt=attempt)
    source, messages = log_of(stub.StreamTaskLogs(request))
    assert source.log_group == QUEUE_GROUP
    assert messages[0] == f"Running task {seed.RETRIED_TASK_ID}"
    assert messages[-1] == f"Process exited with code {code}"
    assert "openjd_progress: 50.0" in messages
