"""Callers that go wrong: what becomes of their calls, and that nothing is left of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_service_pb2
from taskgate_emulator.control import AddedJob
from taskgate_emulator.seeds import ids as seed
from tests.support.call_errors import outcome_of
from tests.support.demo_names import FAILED, JOB
from tests.support.observed_server import ObservedServer, leaks, observed_server, quiet
from tests.support.polling import becomes_true

pytestmark = pytest.mark.timed

TASKS = 400
WATCHER = """
import sys, grpc
from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
stub = task_service_pb2_grpc.TaskServiceStub(grpc.insecure_channel(sys.argv[1]))
for event in stub.WatchTasks(task_watch_pb2.WatchTasksRequest(parent=sys.argv[2])):
    print("event", flush=True)
"""


@dataclass(frozen=True)
class Large:
    """A job whose tasks change often."""

    added: AddedJob
    name: str


@pytest.fixture(scope="module")
def place() -> Iterator[ObservedServer]:
    with observed_server() as place:
        place.read(seconds=20)  # the first call waits for the AWS client to be made
        yield place


@pytest.fixture(scope="module")
def large(place: ObservedServer) -> Large:
    added = place.aws.jobs.add([TASKS])
    queue = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}"
    return Large(added, f"{queue}/jobs/{added.ids['jobId']}")


@pytest.fixture(scope="module", autouse=True)
def polled(place: ObservedServer, large: Large) -> None:
    """A poller goes on for a minute after its last watch: those of all tests are there before."""
    for parent in (JOB, large.name):
        events = place.watch_parent(parent)
        next(event for event in events if event.HasField("snapshot_end"))
        events.cancel()
    assert becomes_true(lambda: quiet(place))


@pytest.fixture(autouse=True)
def nothing_left(place: ObservedServer) -> Iterator[None]:
    before = place.left()
    yield
    place.aws.faults.clear()
    assert becomes_true(lambda: quiet(place) and not leaks(before, place.left())), place.left()
    place.read()


def cancelled(place: ObservedServer) -> float:
    method = "taskgate.v1.TaskService/GetTask"
    return place.metrics.value("taskgate_rpcs_total", method=method, code="CANCELLED")


def test_cancelled_calls_leave_nothing(place: ObservedServer) -> None:
    place.aws.faults.add(kind="latency", service="deadline", operation="GetTask", seconds=1.0)
    request = task_service_pb2.GetTaskRequest(name=FAILED)

    def sent() -> int:
        return sum(seed.FAILED_TASK_ID in each.raw_path for each in place.aws.requests)

    before, sent_before = cancelled(place), sent()
    calls = [place.tasks.GetTask.future(request, timeout=10) for _ in range(20)]
    assert becomes_true(lambda: sent() > sent_before and place.left().rpcs == len(calls))
    for call in calls:
        call.cancel()
    assert becomes_true(lambda: cancelled(place) == before + 20)
    assert (
        sent() <= sent_before + 3
    )  # twenty calls were equal, some of them after the first had been sent


def test_call_ends_at_its_deadline(place: ObservedServer) -> None:
    place.aws.faults.add(kind="hang", service="deadline", operation="GetTask")
    began = time.monotonic()
    assert outcome_of(lambda: place.read(0.3)).startswith("DEADLINE_EXCEEDED")
    assert time.monotonic() - began < 0.9


def test_a_watcher_that_is_killed_leaves_no_watch(place: ObservedServer) -> None:
    command = [sys.executable, "-c", WATCHER, place.address, JOB]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert place.left().watchers == 1
        process.kill()
    assert becomes_true(lambda: place.left().watchers == 0)


def test_stalled_watcher_costs_no_memory_and_delays_no_other(
    place: ObservedServer, large: Large
) -> None:
    lazy = place.watch_parent(large.name)
    next(lazy)  # and no more
    reader = place.watch_parent(large.name)
    next(event for event in reader if event.HasField("snapshot_end"))
    for word in ("RUNNING", "SUCCEEDED", "READY", "RUNNING", "FAILED"):
        for number in range(TASKS):
            place.aws.jobs.move(large.added.task(number), word)
    words = {}
    for event in reader:
        if event.HasField("task_change"):
            words[event.task_change.task.name] = event.task_change.task.native_state
        if len(words) == TASKS and set(words.values()) == {"FAILED"}:
            break
    place.read(1)
    reader.cancel()
    lazy.cancel()


def test_abandoned_stream_delays_no_other(place: ObservedServer) -> None:
    upload = place.channel.stream_unary(
        "/taskgate.omics.v1.OmicsService/UploadReadSetPart",
        request_serializer=omics_pb2.UploadReadSetPartRequest.SerializeToString,
        response_deserializer=omics_pb2.UploadReadSetPartResponse.FromString,
    )

    def silence() -> Iterator[omics_pb2.UploadReadSetPartRequest]:
        time.sleep(0.5)
        yield from ()

    calls = [upload.future(silence(), timeout=0.4) for _ in range(10)]
    place.read(1)
    codes = {call.code() for call in calls}
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
