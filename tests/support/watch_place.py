"""A whole Taskgate on an emulator whose clock the tests turn, and a way to watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from taskgate_emulator.seeds import ids as seed
from tests.conftest import running_server, settings_for
from tests.support.follower import Picture

JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
JOB_IDS = {"farmId": seed.FARM_ID, "queueId": seed.QUEUE_ID, "jobId": seed.JOB_ID}
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


@contextmanager
def running_place() -> Iterator[Place]:
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
