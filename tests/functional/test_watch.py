"""WatchTasks and WaitTask over the wire, on an emulator whose clock the tests turn."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from taskgate.v1 import task_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_client import CallError
from taskgate_emulator import Emulator, seed
from taskgate_emulator.clock import ManualClock
from taskgate_emulator.state import Account
from taskgate_server import app
from tests.conftest import running_server, settings_for
from tests.watch.follower import Picture

JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
STEP = f"{JOB}/steps/{seed.RENDER_STEP_ID}"
RUN = f"omics/runs/{seed.RUN_ID}"
ENDED_RUN = f"omics/runs/{seed.ENDED_RUN_ID}"
RUNNING = f"{STEP}/tasks/{seed.RUNNING_TASK_ID}"
FAILED = f"{STEP}/tasks/{seed.FAILED_TASK_ID}"
CANCELED = f"{STEP}/tasks/{seed.CANCELED_TASK_ID}"
ABSENT = f"{STEP}/tasks/task-{'0' * 32}-0"
Request = task_watch_pb2.WatchTasksRequest
End = task_watch_pb2
SECONDS = 15.0


@dataclass
class Place:
    """An emulator, a server, and a way to ask it."""

    aws: Emulator
    clock: ManualClock
    stub: Any
    address: str


@pytest.fixture
def place() -> Iterator[Place]:
    clock = ManualClock()
    with (
        Emulator(clock=clock) as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield Place(aws, clock, task_service_pb2_grpc.TaskServiceStub(channel), str(address))


@contextmanager
def watch(place: Place, **request: Any) -> Iterator[tuple[Picture, Callable[..., None]]]:
    """A watch, and a way to read on until something is so."""
    picture = Picture()
    stream = place.stub.WatchTasks(Request(**request), timeout=SECONDS)

    def read(until: Callable[[], object] | None = None) -> None:
        while until is None or not until():
            response = next(stream, None)
            if response is None:
                assert until is None or until()
                return
            picture.take(response)

    picture.connect()
    yield picture, read
    stream.cancel()


def native(picture: Picture, name: str) -> str:
    return picture.tasks[name].native_state


@pytest.mark.parametrize("parent", [JOB, STEP, RUN])
def test_a_snapshot_and_then_changes(place: Place, parent: str) -> None:
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


def test_a_watch_by_names_of_both_services_tells_what_is_not_there(place: Place) -> None:
    run_task = f"{RUN}/tasks/{seed.CPU_TASK_ID}"
    with watch(place, names=[RUNNING, FAILED, ABSENT, run_task, RUNNING]) as (picture, read):
        read(lambda: picture.token)
        assert set(picture.tasks) == {RUNNING, FAILED, run_task}
        assert picture.absent == {ABSENT}
        place.clock.advance(3600)
        read(lambda: native(picture, RUNNING) == "SUCCEEDED")


def test_names_that_are_all_gone_end_the_watch(place: Place) -> None:
    with watch(place, names=[ABSENT]) as (picture, read):
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_GONE


def test_a_settled_run_ends_the_watch_that_asked_for_it(place: Place) -> None:
    with watch(place, parent=ENDED_RUN, until_settled=True) as (picture, read):
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_SETTLED
        assert picture.end.counts.settled
        assert picture.end.counts.total == len(picture.tasks) > 0
        assert sum(each.count for each in picture.end.counts.states) == len(picture.tasks)


def test_a_run_ends_with_its_last_task_and_not_with_the_last_that_is_there(place: Place) -> None:
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


def test_a_token_resumes(place: Place) -> None:
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


def test_a_token_of_another_server_gives_a_snapshot(place: Place) -> None:
    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.token)
        token = picture.token
    with (
        running_server(settings_for(place.aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        other = Place(
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
def test_a_request_with_a_fault_is_refused(place: Place, request_: Request, field: str) -> None:
    asked = place.aws.request_count
    with pytest.raises(grpc.RpcError) as raised:
        list(place.stub.WatchTasks(request_, timeout=SECONDS))
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [field]
    assert place.aws.request_count == asked


def test_a_token_of_another_watch_is_refused(place: Place) -> None:
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
def test_what_aws_answers_at_first_is_told(
    place: Place, operation: str, aws_code: str, code: str
) -> None:
    place.aws.fail("deadline", operation, aws_code)
    with pytest.raises(grpc.RpcError) as raised:
        list(place.stub.WatchTasks(Request(parent=JOB), timeout=SECONDS))
    assert raised.value.code().name == code
    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.is_complete)


@pytest.mark.parametrize("parent", ["omics/runs/404", JOB.replace("job-0", "job-1")])
def test_a_parent_that_is_not_there(place: Place, parent: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(place.stub.WatchTasks(Request(parent=parent), timeout=SECONDS))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_parent_that_vanishes_ends_the_watch(place: Place) -> None:
    def vanish(account: Account) -> None:
        del account.farms[seed.FARM_ID].queues[seed.QUEUE_ID].jobs[seed.JOB_ID]

    with watch(place, parent=JOB) as (picture, read):
        read(lambda: picture.is_complete)
        place.aws.edit(vanish)
        read()
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_GONE
        assert not picture.tasks


def test_an_outage_is_told_and_survived(place: Place) -> None:
    beat = Duration(seconds=1)
    with watch(place, parent=STEP, heartbeat_interval=beat) as (picture, read):
        read(lambda: picture.is_complete)
        place.aws.fail("deadline", "GetStep", "InternalServerErrorException", times=3)
        place.clock.advance(3600)
        read(lambda: picture.heartbeat and picture.heartbeat.HasField("upstream_error"))
        assert picture.heartbeat is not None
        assert picture.heartbeat.upstream_error.code == grpc.StatusCode.INTERNAL.value[0]
        read(lambda: native(picture, RUNNING) == "SUCCEEDED")
        picture.heartbeat = None
        read(lambda: picture.heartbeat)
        assert not picture.heartbeat.HasField("upstream_error")


def test_a_heartbeat_has_a_token_and_tells_how_old_it_all_is(place: Place) -> None:
    beat = Duration(seconds=1)
    with watch(place, parent=ENDED_RUN, heartbeat_interval=beat) as (picture, read):
        read(lambda: picture.is_complete)
        picture.token = b""
        read(lambda: picture.heartbeat)
        assert picture.token
        assert picture.heartbeat is not None
        assert 0 <= picture.heartbeat.staleness.seconds <= 3


def wait(place: Place, name: str, *states: Any, seconds: float = SECONDS) -> Any:
    request = task_watch_pb2.WaitTaskRequest(name=name, states=states)
    return place.stub.WaitTask(request, timeout=seconds)


@pytest.mark.parametrize(("name", "word"), [(FAILED, "FAILED"), (CANCELED, "CANCELED")])
def test_a_wait_for_what_has_settled_ends_at_once(place: Place, name: str, word: str) -> None:
    answer = wait(place, name)
    assert answer.done
    assert answer.task.native_state == word
    assert answer.task.HasField("observe_time")


def test_a_wait_ends_when_the_task_has_settled(place: Place) -> None:
    timer = threading.Timer(0.5, place.clock.advance, [3600])
    timer.start()
    answer = wait(place, RUNNING)
    timer.join()
    assert answer.done
    assert answer.task.native_state == "SUCCEEDED"


def test_a_wait_for_a_cancelled_run_ends(place: Place) -> None:
    name = f"{RUN}/tasks/{seed.CPU_TASK_ID}"

    def cancel(account: Account) -> None:
        for task_id, task in account.runs[seed.RUN_ID].tasks.items():
            if task_id == seed.CPU_TASK_ID:
                record = {**task.at(place.clock()), "status": "CANCELLED"}
                account.runs[seed.RUN_ID].tasks[task_id] = type(task)(record)

    place.aws.edit(cancel)
    answer = wait(place, name)
    assert answer.done
    assert answer.task.state == task_pb2.TASK_STATE_CANCELLED


def test_a_wait_answers_before_the_time_is_up(place: Place) -> None:
    began = time.monotonic()
    answer = wait(place, RUNNING, seconds=1.5)
    assert time.monotonic() - began < 1.5
    assert not answer.done
    assert answer.task.native_state == "RUNNING"


def test_a_wait_for_a_state_that_it_is_in(place: Place) -> None:
    assert wait(place, RUNNING, task_pb2.TASK_STATE_RUNNING).done
    assert wait(place, FAILED, task_pb2.TASK_STATE_RUNNING).done  # settled in another one


def test_a_wait_for_a_task_that_is_not_there_or_vanishes(place: Place) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        wait(place, ABSENT)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND

    def vanish(account: Account) -> None:
        job = account.farms[seed.FARM_ID].queues[seed.QUEUE_ID].jobs[seed.JOB_ID]
        del job.steps[seed.RENDER_STEP_ID].tasks[seed.RUNNING_TASK_ID]

    timer = threading.Timer(0.5, place.aws.edit, [vanish])
    timer.start()
    with pytest.raises(grpc.RpcError) as raised:
        wait(place, RUNNING)
    timer.join()
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("state", [0, task_pb2.TASK_STATE_UNRECOGNIZED, 99])
def test_a_wait_for_what_is_no_state_is_refused(place: Place, state: int) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        wait(place, RUNNING, state)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


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
        assert time.monotonic() - began < 5
        assert picture.end is not None
        assert picture.end.reason == End.WATCH_END_REASON_SERVER_STOPPING
        assert picture.token


async def test_watchers_that_go_leave_nothing() -> None:
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
        hub: Any = built.backgrounds[0]
        for _ in range(200):
            await asyncio.sleep(0.02)
            if not any(poller.is_watched for poller in hub._whole.values()):
                break
        assert not any(poller.is_watched for poller in hub._whole.values())
        assert not hub._at_stop
        # The poller waits for somebody to come back, with two tasks of its own.
        assert len(asyncio.all_tasks()) <= idle + 2
        await built.server.drain(2)
        await built.close()
        assert len(hub) == 0
