"""WatchTasks over the wire, on an emulator whose clock the tests turn."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from taskgate_client import CallError
from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from taskgate_emulator.seeds import ids as seed
from taskgate_server import app
from taskgate_server.services.deadline import tasks as deadline
from taskgate_server.tasks.watch.hub import Hub
from tests.support.demo_names import ABSENT, ENDED_RUN, FAILED, JOB, JOB_IDS, RUN, RUNNING, STEP
from tests.support.follower import Picture
from tests.support.manual_clock_server import SECONDS, End, ManualClockServer, Request, watch
from tests.support.running_server import running_server, settings_for

pytestmark = pytest.mark.timed


def native(picture: Picture, name: str) -> str:
    return picture.tasks[name].native_state


@pytest.mark.parametrize("parent", [JOB, STEP, RUN])
def test_a_snapshot_and_then_changes(place: ManualClockServer, parent: str) -> None:
    with watch(place, parent=parent) as (picture, read):
        read(lambda: picture.is_complete)
        assert picture.events[0] == "snapshot_begin"
        assert picture.reasons == [task_watch_pb2.SNAPSHOT_REASON_NEW_WATCH]
        before = {name: task.native_state for name, task in picture.tasks.items()}
        assert before
        place.clock.advance(60)
        read(lambda: "task_change" in picture.events)
        now = {name: task.native_state for name, task in picture.tasks.items()}
        assert now != before


def test_watch_by_names_reports_missing_tasks(
    place: ManualClockServer,
) -> None:
    run_task = f"{RUN}/tasks/{seed.CPU_TASK_ID}"
    with watch(place, names=[RUNNING, FAILED, ABSENT, run_task, RUNNING]) as (picture, read):
        read(lambda: picture.token)
        assert set(picture.tasks) == {RUNNING, FAILED, run_task}
        assert picture.absent == {ABSENT}
        place.clock.advance(3600)
        read(lambda: native(picture, RUNNING) == "SUCCEEDED")


def test_watch_ends_when_all_named_tasks_are_gone(place: ManualClockServer) -> None:
    with watch(place, names=[ABSENT]) as (picture, read):
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_GONE


def test_settled_run_ends_a_watch_with_until_settled(place: ManualClockServer) -> None:
    with watch(place, parent=ENDED_RUN, until_settled=True) as (picture, read):
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_SETTLED
        assert picture.end.counts.settled
        assert picture.end.counts.total == len(picture.tasks) > 0
        assert sum(each.count for each in picture.end.counts.states) == len(picture.tasks)


def test_run_ends_with_tasks_that_are_added_late(
    place: ManualClockServer,
) -> None:
    with watch(place, parent=RUN, until_settled=True) as (picture, read):
        read(lambda: picture.is_complete)
        for _ in range(40):
            place.clock.advance(300)
            if picture.end is not None:
                break
            read(lambda: len(picture.events) > 5 or picture.end is not None)
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_SETTLED
        assert f"{RUN}/tasks/{seed.LATER_TASK_ID}" in picture.tasks


def test_token_resumes_a_watch(place: ManualClockServer) -> None:
    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.is_complete)
        token = picture.token
    place.clock.advance(3600)
    kept = Picture()
    kept.tasks, kept.is_complete = dict(picture.tasks), True
    stream = place.stub.WatchTasks(Request(parent=JOB, resume_token=token), timeout=SECONDS)
    for response in stream:
        kept.take(response)
        if native(kept, RUNNING) == "SUCCEEDED":
            break
    assert kept.events[0] == "resumed"
    assert "snapshot_begin" not in kept.events
    assert len(kept.token) <= 64


def test_a_token_of_another_server_gives_a_snapshot(place: ManualClockServer) -> None:
    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.token)
        token = picture.token
    with (
        running_server(settings_for(place.aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        other = ManualClockServer(
            place.aws, place.clock, task_service_pb2_grpc.TaskServiceStub(channel), str(address)
        )
        with watch(other, parent=JOB, resume_token=token) as (picture, read):
            read(lambda: picture.is_complete)
            assert picture.reasons == [task_watch_pb2.SNAPSHOT_REASON_TOKEN_FROM_ELSEWHERE]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request(), "parent"),
        (Request(parent=JOB, names=[FAILED]), "parent"),
        (Request(parent=f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}"), "parent"),
        (Request(parent="omics/runs/GATK"), "parent"),
        (Request(names=[FAILED, "omics/runs/1"]), "names[1]"),
        (Request(names=[f"{RUN}/tasks/{n}" for n in range(1001)]), "names"),
        (Request(parent=JOB, heartbeat_interval=Duration(seconds=0)), "heartbeat_interval"),
        (Request(parent=JOB, heartbeat_interval=Duration(seconds=61)), "heartbeat_interval"),
        (Request(parent=JOB, resume_token=b"nonsense"), "resume_token"),
        (Request(parent=JOB, view=77), "view"),  # type: ignore[arg-type]  # that is the point
    ],
)
def test_invalid_request_is_refused(
    place: ManualClockServer, request_: Request, field: str
) -> None:
    count = place.aws.request_count
    with pytest.raises(grpc.RpcError) as raised:
        list(place.stub.WatchTasks(request_, timeout=SECONDS))
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [field]
    assert place.aws.request_count == count


def test_token_of_a_different_watch_is_refused(place: ManualClockServer) -> None:
    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.token)
    with pytest.raises(grpc.RpcError) as raised:
        list(place.stub.WatchTasks(Request(parent=STEP, resume_token=picture.token), timeout=5))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("operation", "aws_code", "code"),
    [
        ("ListSteps", "AccessDeniedException", "PERMISSION_DENIED"),
        ("ListTasks", "InternalServerErrorException", "INTERNAL"),
    ],
)
def test_first_error_of_aws_is_returned(
    place: ManualClockServer, operation: str, aws_code: str, code: str
) -> None:
    place.aws.fail("deadline", operation, aws_code)
    with pytest.raises(grpc.RpcError) as raised:
        list(place.stub.WatchTasks(Request(parent=JOB), timeout=SECONDS))
    assert raised.value.code().name == code
    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.is_complete)


@pytest.mark.parametrize("parent", ["omics/runs/404", JOB.replace("job-0", "job-1")])
def test_unknown_parent_is_not_found(place: ManualClockServer, parent: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(place.stub.WatchTasks(Request(parent=parent), timeout=SECONDS))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_deleted_parent_ends_the_watch(place: ManualClockServer) -> None:
    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.is_complete)
        place.aws.jobs.remove(JOB_IDS)
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_GONE
        assert not picture.tasks


def test_outage_is_reported_in_heartbeats(place: ManualClockServer) -> None:
    beat = Duration(seconds=1)
    with watch(place, parent=STEP, heartbeat_interval=beat) as (picture, read):
        read(lambda: picture.is_complete)
        place.aws.fail("deadline", "GetStep", "InternalServerErrorException", times=2)
        place.clock.advance(3600)
        read(lambda: picture.heartbeat and picture.heartbeat.HasField("upstream_error"))
        assert picture.heartbeat is not None
        assert picture.heartbeat.upstream_error.code == grpc.StatusCode.INTERNAL.value[0]
        read(lambda: native(picture, RUNNING) == "SUCCEEDED")
        received: list[task_watch_pb2.Heartbeat | None] = [picture.heartbeat]
        read(lambda: picture.heartbeat not in received)
        assert not picture.heartbeat.HasField("upstream_error")


def test_heartbeat_has_a_token_and_the_staleness(place: ManualClockServer) -> None:
    beat = Duration(seconds=1)
    with watch(place, parent=ENDED_RUN, heartbeat_interval=beat) as (picture, read):
        read(lambda: picture.is_complete)
        picture.token = b""
        read(lambda: picture.heartbeat)
        assert picture.token
        assert picture.heartbeat is not None
        assert 0 <= picture.heartbeat.staleness.seconds <= 3


def test_a_server_that_stops_ends_its_watches_with_a_token() -> None:
    with Emulator(clock=ManualClock()) as aws:
        picture = Picture()
        settings = settings_for(aws.endpoint_url, drain_seconds=10)
        began = 0.0

        def read() -> None:
            for response in stream:
                picture.take(response)
                complete.set() if picture.is_complete else None

        complete = threading.Event()
        channel: grpc.Channel
        with running_server(settings) as address:
            channel = grpc.insecure_channel(str(address))
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            stream = stub.WatchTasks(Request(parent=JOB))
            reader = threading.Thread(target=read)
            reader.start()
            assert complete.wait(SECONDS)
            began = time.monotonic()
        reader.join(SECONDS)
        channel.close()
        assert time.monotonic() - began < SECONDS
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_SERVER_STOPPING
        assert picture.token


async def test_closed_watches_leave_no_pollers() -> None:
    with Emulator(clock=ManualClock()) as aws:
        built = app.build(settings_for(aws.endpoint_url))
        address = await built.server.start()
        idle = len(asyncio.all_tasks())
        request = Request(parent=JOB).SerializeToString()
        async with grpc.aio.insecure_channel(str(address)) as channel:
            method: Any = channel.unary_stream("/taskgate.v1.TaskService/WatchTasks")
            streams = [method(request) for _ in range(200)]
            for stream in streams:
                assert await stream.read() != grpc.aio.EOF
            for stream in streams:
                stream.cancel()
        hub: Any = next(each for each in built.backgrounds() if isinstance(each, Hub))

        def is_quiet() -> bool:
            watched = any(poller.is_watched for poller in hub._whole.values())
            # The poller waits for watchers, with two tasks of its own.
            return not watched and len(asyncio.all_tasks()) <= idle + 2

        for _ in range(500):
            await asyncio.sleep(0.02)
            if is_quiet():
                break
        assert is_quiet(), asyncio.all_tasks()
        assert not hub.stop_callbacks
        await built.server.drain(2)
        await built.close()
        assert len(hub) == 0


def test_a_write_is_seen_at_once_by_a_watch_that_is_open() -> None:
    with Emulator(clock=ManualClock()) as aws:
        job = aws.jobs.add(steps=(3,), status="SUCCEEDED")
        name = deadline.NAMES.format(job.task(1))

        async def main() -> None:
            built = app.build(settings_for(aws.endpoint_url))
            address = await built.server.start()
            async with grpc.aio.insecure_channel(str(address)) as channel:
                stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
                parent = name.rpartition("/steps/")[0]
                picture, stream = Picture(), stub.WatchTasks(Request(parent=parent))
                picture.connect()
                while not picture.is_complete:
                    picture.take(await stream.read())
                began = time.monotonic()
                aws.jobs.move(job.task(1), "READY")
                hub: Any = next(each for each in built.backgrounds() if isinstance(each, Hub))
                hub.refresh(name)
                while native(picture, name) != "READY":
                    picture.take(await stream.read())
                assert time.monotonic() - began < 0.9  # the next poll would be later
                stream.cancel()
            await built.server.drain(2)
            await built.close()

        asyncio.run(main())


def test_snapshot_messages_fit_the_default_limit_of_clients() -> None:
    with Emulator(clock=ManualClock()) as aws:
        job = aws.jobs.add(steps=(2_500, 10))
        parent = deadline.NAMES.format(job.task(0)).rpartition("/steps/")[0]
        with (
            running_server(settings_for(aws.endpoint_url)) as address,
            grpc.insecure_channel(str(address)) as channel,
        ):
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            picture, sizes = Picture(), []
            picture.connect()
            for response in stub.WatchTasks(Request(parent=parent), timeout=60):
                sizes.append(response.ByteSize())
                picture.take(response)
                if picture.is_complete:
                    break
            assert len(picture.tasks) == 2_510
            assert max(sizes) <= 256 * 1024 + 1024
