"""Shutdown: health, grace, the end of streams, and calls that are cut."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_log_pb2, task_service_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator, ManualClock
from taskgate_server import app, errors
from taskgate_server.config import Settings
from taskgate_server.pipeline.reception import FIRST_MESSAGE_SECONDS
from taskgate_server.ports import Address
from taskgate_server.shutdown import LOAD_BALANCER_SECONDS, Shutdown, drain_grace_seconds
from taskgate_server.tasks.logs.streams import Logs
from taskgate_server.tasks.watch.hub import Hub
from tests.support.demo_names import JOB, RUNNING
from tests.support.follower import Picture
from tests.support.manual_clock_server import Request
from tests.support.running_server import settings_for
from tests.support.server_process import LoggedServer, server_environment

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
OWN = (("grpc.use_local_subchannel_pool", 1),)
SERVICES = [
    "",
    "live",
    "taskgate.v1.TaskService",
    "taskgate.deadline.v1.DeadlineService",
    "taskgate.omics.v1.OmicsService",
]
INFO = task_service_pb2.GetServerInfoRequest()
LIST_FARMS = "/taskgate.deadline.v1.DeadlineService/ListFarms"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def tasks(channel: grpc.aio.Channel) -> Any:
    return task_service_pb2_grpc.TaskServiceStub(channel)


def health(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[tuple[app.App, grpc.aio.Channel, Address]]:
    """A server that serves both AWS services, and a channel to it. The test drains it."""
    built = app.build(settings)
    address = await built.server.start()
    try:
        async with grpc.aio.insecure_channel(str(address), options=OWN) as channel:
            for gateway in built.connections[0].gateways.values():
                await gateway.connection.get_client()
            yield built, channel, address
    except BaseException:
        await built.server.drain(0.1)  # or the failed test would hang
        raise
    finally:
        await built.close()


@contextmanager
def silent() -> Iterator[str]:
    """An AWS that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come")


def stopped(caplog: pytest.LogCaptureFixture) -> Any:
    return next(each for each in caplog.records if each.message == "stopped")


async def test_calls_succeed_during_the_grace_while_health_reports_not_serving(
    aws: Emulator,
) -> None:
    settings = settings_for(aws.endpoint_url, health_port=0)
    async with started(settings) as (built, channel, address):
        probes = str(built.server.health_address)
        async with grpc.aio.insecure_channel(probes, options=OWN) as probe:
            stopping = Shutdown()
            stopping.request()
            drain = asyncio.ensure_future(
                built.server.drain(5, grace_seconds=60, stopping=stopping)
            )
            await asyncio.sleep(0)
            for port in (channel, probe):
                for name in SERVICES:
                    request = health_pb2.HealthCheckRequest(service=name)
                    assert (await health(port).Check(request)).status == NOT_SERVING
            assert (await tasks(channel).GetServerInfo(INFO)).version
            # On a new connection too: a load balancer may not have heard.
            async with grpc.aio.insecure_channel(str(address), options=OWN) as other:
                assert (await tasks(other).GetServerInfo(INFO)).version
                assert not drain.done()
                stopping.request()  # enough of the grace
                assert await drain == 0
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await tasks(other).GetServerInfo(INFO)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_streams_and_waits_end_with_server_stopping() -> None:
    with Emulator(clock=ManualClock()) as still:
        async with started(settings_for(still.endpoint_url)) as (built, channel, _):
            picture = Picture()
            picture.connect()
            watch = tasks(channel).WatchTasks(Request(parent=JOB))
            while not picture.is_complete:
                picture.take(await watch.read())
            wait = tasks(channel).WaitTask(task_watch_pb2.WaitTaskRequest(name=RUNNING), timeout=60)
            hub: Any = next(each for each in built.backgrounds() if isinstance(each, Hub))
            await eventually(
                lambda: any(each.change_log.get(RUNNING) for each in hub._named.values())
            )
            assert await built.server.drain(10) == 0
            while (response := await watch.read()) is not grpc.aio.EOF:
                picture.take(response)
            assert picture.end is not None
            assert picture.end.reason == task_watch_pb2.WATCH_END_REASON_SERVER_STOPPING
            assert picture.token
            answer = await wait
            assert not answer.done
            assert answer.task.name == RUNNING


async def test_followed_log_ends_with_server_stopping_after_its_last_line() -> None:
    logs = Logs(backends=None, finders={}, gateways={})  # type: ignore[arg-type]  # none is called
    line = task_log_pb2.LogLine(message="frame 1")
    closed = False

    async def parts() -> Any:
        nonlocal closed
        try:
            yield task_log_pb2.StreamTaskLogsResponse(lines=task_log_pb2.LogLines(lines=[line]))
            await asyncio.sleep(3600)
        finally:
            closed = True

    lines: list[task_log_pb2.LogLine] = []

    async def follow() -> None:
        async for part in logs._follow(parts(), 10):
            lines.extend(part.lines.lines)

    following = asyncio.ensure_future(follow())
    await eventually(lambda: bool(lines))
    assert len(logs.followed) == 1
    logs.stop()
    with pytest.raises(errors.TaskgateError) as caught:
        await following
    assert caught.value.reason == "SERVER_STOPPING"
    assert lines == [line]
    assert closed
    assert not logs.followed
    with pytest.raises(errors.TaskgateError):  # one that comes late
        await anext(logs._follow(parts(), 10))


async def test_cut_calls_are_logged_by_method(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "taskgate")
    with silent() as url:
        async with started(settings_for(url)) as (built, channel, _):
            request = task_service_pb2.GetTaskRequest(name=RUNNING)
            calls = [tasks(channel).GetTask(request) for _ in range(2)]
            method: Any = channel.unary_unary(LIST_FARMS)
            calls.append(method(b""))
            await eventually(lambda: built.server._in_flight.total() == 3)
            assert await built.server.drain(0.3) == 3
            for call in calls:
                with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
                    await call
    line = stopped(caplog)
    assert line.cut == 3
    assert line.cut_methods == {
        "taskgate.v1.TaskService/GetTask": 2,
        LIST_FARMS.lstrip("/"): 1,
    }


async def test_health_watches_end_and_do_not_delay_the_drain(aws: Emulator) -> None:
    async with started(settings_for(aws.endpoint_url)) as (built, channel, _):
        watch = health(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        async with asyncio.timeout(10):
            assert await built.server.drain(60) == 0
        assert (await watch.read()).status == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("is_open", [True, False])
async def test_stream_without_a_request_does_not_delay_the_drain(
    aws: Emulator, *, is_open: bool
) -> None:
    async with started(settings_for(aws.endpoint_url)) as (built, channel, _):
        method: Any = channel.stream_stream(REFLECTION)
        stream = method()
        if is_open:
            await stream.write(b"\x3a\x00")  # list_services
            assert await stream.read()
        else:
            await stream.wait_for_connection()
        await eventually(lambda: built.server._in_flight.total() == 1)
        async with asyncio.timeout(30):
            assert await built.server.drain(60) == 0
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
        status = rpc_status.from_call(await as_call(stream))
        assert errors.Reason.SERVER_STOPPING in str(status)


async def test_call_without_a_message_does_not_delay_the_drain(aws: Emulator) -> None:
    async with started(settings_for(aws.endpoint_url)) as (built, channel, _):
        method: Any = channel.stream_unary("/taskgate.v1.TaskService/GetServerInfo")
        call = method()
        await call.wait_for_connection()
        await eventually(lambda: built.server._in_flight.total() == 1)
        async with asyncio.timeout(30):
            assert await built.server.drain(60) == 0
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_upload_continues_while_the_server_drains(aws: Emulator) -> None:
    async with started(settings_for(aws.endpoint_url)) as (built, channel, _):
        method: Any = channel.stream_unary(
            "/taskgate.omics.v1.OmicsService/UploadReadSetPart",
            request_serializer=omics_pb2.UploadReadSetPartRequest.SerializeToString,
            response_deserializer=omics_pb2.UploadReadSetPartResponse.FromString,
        )
        call = method()
        first = omics_pb2.UploadReadSetPartRequest(
            sequence_store_id="1234567890",
            upload_id="1234567890",
            part_source=omics_pb2.READ_SET_PART_SOURCE_SOURCE1,
            part_number=1,
            payload=b"a",
        )
        await call.write(first)
        await eventually(lambda: built.server._in_flight.total() == 1)
        draining = asyncio.ensure_future(built.server.drain(60))
        await asyncio.sleep(1.5 * FIRST_MESSAGE_SECONDS)
        assert not call.done()
        await call.write(omics_pb2.UploadReadSetPartRequest(payload=b"b"))
        await call.done_writing()
        async with asyncio.timeout(30):
            assert await draining == 0
        # The emulator lacks the operation: what counts is that AWS got the whole request.
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def as_call(stream: Any) -> Any:
    """Return what `rpc_status.from_call` takes, which knows nothing of asyncio."""
    code, details = await stream.code(), await stream.details()
    metadata = await stream.trailing_metadata()
    return SimpleNamespace(
        code=lambda: code, details=lambda: details, trailing_metadata=lambda: metadata
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_drains(aws: Emulator, tmp_path: Path, workers: str) -> None:
    variables = {"LISTEN_PORT": "0", "WORKERS": workers, "DRAIN_GRACE_SECONDS": "0"}
    server = LoggedServer(tmp_path / "log", server_environment(aws, **variables))
    try:
        server.line("listening", int(workers))
        assert server.stop(signal.SIGHUP) == 0
    finally:
        server.close()
    assert len(server.lines("stopped")) == int(workers)


def test_sighup_stays_ignored_under_nohup(aws: Emulator, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = LoggedServer(tmp_path / "log", server_environment(aws, LISTEN_PORT="0"))
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        address = server.line("listening")["address"]
        server.process.send_signal(signal.SIGHUP)
        with grpc.insecure_channel(address) as channel:
            method: Any = channel.unary_unary("/taskgate.v1.TaskService/GetServerInfo")
            method(b"", timeout=10)
        assert not server.lines("draining")
        assert server.stop() == 0
    finally:
        server.close()


def test_a_second_signal_stops_at_once(aws: Emulator, tmp_path: Path) -> None:
    variables = {"LISTEN_PORT": "0", "DRAIN_GRACE_SECONDS": "600", "DRAIN_SECONDS": "600"}
    server = LoggedServer(tmp_path / "log", server_environment(aws, **variables))
    try:
        address = server.line("listening")["address"]
        with grpc.insecure_channel(address) as channel:
            watch: Any = channel.unary_stream("/taskgate.v1.TaskService/WatchTasks")
            next(watch(Request(parent=JOB).SerializeToString()))
            server.process.send_signal(signal.SIGTERM)
            assert server.line("draining")["grace_seconds"] == 600
            assert server.stop() == 1
    finally:
        server.close()
    assert server.lines("stopped")


@pytest.mark.parametrize(
    ("host", "seconds", "grace"),
    [
        ("127.0.0.1", None, 0),
        ("localhost", 3, 3),
        ("0.0.0.0", None, LOAD_BALANCER_SECONDS),  # noqa: S104  # nothing listens
        ("0.0.0.0", 0, 0),  # noqa: S104  # nothing listens
    ],
)
def test_default_grace_depends_on_the_address(
    host: str, seconds: float | None, grace: float
) -> None:
    settings = Settings(listen_host=host, drain_grace_seconds=seconds)
    assert drain_grace_seconds(settings) == grace
