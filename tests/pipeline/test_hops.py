"""The path of a unified GetTask, from gRPC's handler to boto3, as docs/architecture.md lists it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import grpc
import pytest

import taskgate_server
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_server import app
from taskgate_server.upstream.aws_client.factory import AwsClient
from tests.support.demo_names import RUNNING
from tests.support.running_server import settings_for

SERVER = Path(taskgate_server.__file__).parent
ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"
MAX_HOPS = 12


def hop(code: CodeType) -> str | None:
    """Return a function of the server as `file: function`; None for any other function."""
    path = Path(code.co_filename)
    if not path.is_relative_to(SERVER):
        return None
    name = code.co_qualname.replace(".<locals>", "")
    return f"{path.relative_to(SERVER)}: {name}"


def stack_of(frame: FrameType | None) -> Iterator[CodeType]:
    """Yield the functions that led to a frame, the first one first."""
    if frame is not None:
        yield from stack_of(frame.f_back)
        yield frame.f_code


class Recorder:
    """Records where each task of an event loop was made, and the path of one AWS call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._origins: dict[asyncio.Task[Any], list[CodeType]] = {}
        self.hops: list[str] = []
        loop.set_task_factory(self._make_task)  # type: ignore[arg-type]  # its type is private

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **more)
        self._origins[task] = list(stack_of(sys._getframe(1)))
        return task

    def record(self) -> None:
        """Record the path to the current function."""
        task = asyncio.current_task()
        assert task is not None
        path = [*self._origins[task], *stack_of(sys._getframe(2))]
        self.hops = [name for code in path if (name := hop(code)) is not None]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Callable[[Recorder], None]:
    def install(recorder: Recorder) -> None:
        call = AwsClient.call

        async def recording(client: AwsClient, operation: str, params: Any) -> Any:
            if operation == "GetTask":
                recorder.record()
            return await call(client, operation, params)

        monkeypatch.setattr(AwsClient, "call", recording)

    return install


async def test_get_task_takes_the_documented_hops_to_boto3(
    recorded: Callable[[Recorder], None],
) -> None:
    with Emulator() as aws:
        built = app.build(settings_for(aws.endpoint_url))
        address = await built.server.start()
        recorder = Recorder(asyncio.get_running_loop())
        recorded(recorder)
        async with grpc.aio.insecure_channel(str(address)) as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            await stub.GetTask(task_service_pb2.GetTaskRequest(name=RUNNING), timeout=10)
        await built.server.drain(0)
        await built.close()
    hops = [*recorder.hops, "upstream/aws_client/factory.py: AwsClient.call"]
    text = ARCHITECTURE.read_text()
    documented = re.findall(r"^\d+\. `([\w/.]+)`: `([\w.]+)`", text, re.MULTILINE)
    assert hops == [f"{file}: {name}" for file, name in documented]
    assert len(hops) <= MAX_HOPS
