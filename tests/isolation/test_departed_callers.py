"""Callers that leave in the middle of a large response are no bugs of the server."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from taskgate.v1 import task_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.control import AddedJob
from taskgate_emulator.deadline.tasks import TASK
from taskgate_server import errors
from taskgate_server.calls import CallContext, Rpc
from taskgate_server.pipeline.metadata import ReadMetadata
from taskgate_server.pipeline.pipeline import Pipeline, Stage
from taskgate_server.pipeline.reception import Reception
from taskgate_server.pipeline.refusals import Refusals
from tests.isolation.relay import running_relay
from tests.support.running_server import running_server, settings_for
from tests.support.task_service import job_name

TASKS = 200
PARAMETERS = {f"Param{number:02}": {"string": "x" * 1000} for number in range(16)}
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(frozen=True)
class Large:
    """An AWS with a job of some 6 MB, much more than HTTP/2's windows."""

    aws: Emulator
    job: AddedJob


@pytest.fixture(scope="module")
def large() -> Iterator[Large]:
    with Emulator(seed="empty") as aws:
        job = aws.jobs.add([TASKS])

        def enlarge(account: Any) -> None:
            for number in range(TASKS):
                key = tuple(job.task(number).values())
                record = account.table(TASK).record(key)
                account.put(TASK, key, {**record, "parameters": PARAMETERS})

        aws.edit(enlarge)
        yield Large(aws, job)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("leaves", ["cancels", "disconnects"])
def test_departed_slow_reader_is_cancelled(
    large: Large, leaves: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = io.StringIO()
    request = task_watch_pb2.WatchTasksRequest(
        parent=job_name(large.job), view=task_pb2.TASK_VIEW_FULL
    )
    with (
        running_server(settings_for(large.aws.endpoint_url), log) as address,
        running_relay(address) as relay,
    ):
        channel = grpc.insecure_channel(f"127.0.0.1:{relay.port}", OWN_CONNECTION)
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        stream = stub.WatchTasks(request, timeout=60)
        next(stream)
        time.sleep(0.5)  # the server fills the windows, and waits in a write
        if leaves == "disconnects":
            relay.close()
        stream.cancel()
        channel.close()
    (ended,) = [line for line in lines(log) if line.get("method", "").endswith("/WatchTasks")]
    assert ended["code"] == "CANCELLED"
    assert [record for record in caplog.records if record.message == "bug"] == []


class GoneError(Exception):
    """What gRPC raises for a stream that is gone; its own types are not in its API."""


class DepartedContext:
    """A call whose caller leaves before one of the operations on its stream.

    Args:
        failing: the operation.
    """

    def __init__(self, failing: str) -> None:
        self._failing = failing

    async def _do(self, operation: str) -> None:
        if operation == self._failing:
            raise GoneError

    async def read(self) -> bytes:
        await self._do("read")
        return b""

    async def write(self, _: bytes) -> None:
        await self._do("write")

    async def send_initial_metadata(self, _: object) -> None:
        await self._do("send_initial_metadata")

    async def abort(self, *_: object) -> None:
        await self._do("abort")

    def set_trailing_metadata(self, _: object) -> None:
        """Cannot fail: gRPC sends it later."""

    def time_remaining(self) -> float:
        return 60.0

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("taskgate-max-age", "1")]


async def respond(_: object, call: CallContext) -> Empty:
    call.record.observe_time = 1.0
    return Empty()


async def stream(_: object, call: CallContext) -> AsyncIterator[Empty]:
    call.record.observe_time = 1.0
    yield Empty()


async def upload(requests: AsyncIterator[Empty], _: CallContext) -> Empty:
    async for _request in requests:
        pass
    return Empty()


async def refuse(_: object, __: CallContext) -> Empty:
    raise errors.unknown_method("x")


@pytest.mark.parametrize(
    ("failing", "behaviour", "streams"),
    [
        ("read", respond, {}),
        ("read", upload, {"client_streams": True}),
        ("send_initial_metadata", respond, {}),
        ("send_initial_metadata", stream, {"server_streams": True}),
        ("write", stream, {"server_streams": True}),
        ("abort", refuse, {}),
    ],
)
def test_broken_connection_is_not_logged_as_a_bug(
    failing: str, behaviour: Any, streams: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    rpc = Rpc(
        method="test.Service/Method",
        request_class=Empty,
        response_class=Empty,
        behaviour=behaviour,
        **streams,
    )
    stages: list[Stage] = [ReadMetadata(), Reception(60.0, None)]
    handler: Any = Pipeline(stages=stages, refusals=Refusals(None)).handler(rpc)
    serve = handler.stream_stream or handler.stream_unary
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(serve(None, DepartedContext(failing)))
    assert [record for record in caplog.records if record.message == "bug"] == []
