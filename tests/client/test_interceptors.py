"""Interceptors of others around the client's calls: OpenTelemetry's return generators."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry.instrumentation.grpc import (
    GrpcAioInstrumentorClient,
    GrpcInstrumentorClient,
)

from taskgate.v1 import task_watch_pb2
from taskgate_client import (
    ClosedError,
    Reconnecting,
    Resumed,
    Snapshot,
    Timing,
    WatchEnd,
    aio,
    connect,
)
from taskgate_client.aio.streams import AsyncTiming
from tests.support.fake_service import (
    RUN,
    FakeTaskService,
    Silence,
    end,
    event,
    serving,
    snapshot,
    task,
)
from tests.support.open_streams import open_streams

CLOSE_SECONDS = 1.0
RESUMED = event(b"t2", resumed=task_watch_pb2.Resumed())


@pytest.fixture
def instrumented() -> Iterator[None]:
    instrumentor: Any = GrpcInstrumentorClient()  # type: ignore[no-untyped-call]  # it has no types
    instrumentor.instrument()
    yield
    instrumentor.uninstrument()


@pytest.fixture
def instrumented_aio() -> Iterator[None]:
    instrumentor: Any = GrpcAioInstrumentorClient()  # type: ignore[no-untyped-call]  # see above
    instrumentor.instrument()
    yield
    instrumentor.uninstrument()


@pytest.fixture
def fake() -> FakeTaskService:
    fake = FakeTaskService()
    fake.script("WatchTasks", [*snapshot(task(1), token=b"t1"), Silence()], [RESUMED, end()])
    return fake


@pytest.mark.usefixtures("instrumented")
def test_a_watch_resumes_when_the_server_restarts(fake: FakeTaskService) -> None:
    with ExitStack() as servers:
        address = servers.enter_context(serving(fake))
        stopped = servers.pop_all()
        port = int(address.rpartition(":")[2])

        def restart(*_: object) -> None:
            if len(fake.requests["WatchTasks"]) == 1:
                servers.enter_context(serving(fake, port))

        with connect(address, timing=Timing(wait=restart)) as client:
            watch = client.watch_tasks(RUN)
            assert isinstance(next(watch), Snapshot)
            stopped.close()
            assert {type(each) for each in watch} == {Reconnecting, Resumed, WatchEnd}


@pytest.mark.usefixtures("instrumented")
def test_left_and_closed_watches_end_their_calls() -> None:
    with open_streams() as server, connect(server.address) as client:
        for _ in client.watch_tasks(RUN):
            break
        assert server.becomes(0)
        with client.watch_tasks(RUN) as watch:
            next(watch)
        assert server.becomes(0)


@pytest.mark.usefixtures("instrumented")
def test_a_silent_watch_calls_again() -> None:
    with open_streams() as server, connect(server.address) as client:
        events = client.watch_tasks(RUN, heartbeat_interval=0.1)
        assert [type(next(events)) for _ in range(2)] == [Snapshot, Reconnecting]


@pytest.mark.usefixtures("instrumented")
def test_closing_ends_a_watch_that_is_read() -> None:
    with open_streams() as server, connect(server.address) as client:
        watch = client.watch_tasks(RUN)
        next(watch)
        threading.Timer(0.2, watch.close).start()
        began = time.monotonic()
        assert list(watch) == []
        assert time.monotonic() - began < CLOSE_SECONDS
        other = client.watch_tasks(RUN)
        next(other)
        threading.Timer(0.2, client.close).start()
        with pytest.raises(ClosedError):
            next(other)
        assert server.becomes(0)


@pytest.mark.usefixtures("instrumented_aio")
async def test_a_watch_of_the_asyncio_client_resumes(fake: FakeTaskService) -> None:
    fake.script("WatchTasks", snapshot(task(1), token=b"t1"), [RESUMED, end()])
    timing = AsyncTiming(random=lambda: 0.0)
    with serving(fake) as address:
        async with aio.connect(address, timing=timing) as client:
            kinds = [type(each) async for each in client.watch_tasks(RUN)]
    assert kinds == [Snapshot, Reconnecting, Resumed, WatchEnd]


@pytest.mark.usefixtures("instrumented_aio")
async def test_a_left_watch_of_the_asyncio_client_ends_its_call() -> None:
    with open_streams() as server:
        async with aio.connect(server.address) as client:
            async for _ in client.watch_tasks(RUN):
                break
            assert await asyncio.to_thread(server.becomes, 0)
