"""A server on an emulator whose clock the tests set, and a way to watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from tests.support.follower import Picture
from tests.support.running_server import running_server, settings_for

Request = task_watch_pb2.WatchTasksRequest
End = task_watch_pb2
SECONDS = 15.0


@dataclass
class ManualClockServer:
    """An emulator with a manual clock, and a server on it with a stub."""

    aws: Emulator
    clock: ManualClock
    stub: Any
    address: str


@contextmanager
def manual_clock_server() -> Iterator[ManualClockServer]:
    clock = ManualClock()
    with (
        Emulator(clock=clock) as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield ManualClockServer(
            aws, clock, task_service_pb2_grpc.TaskServiceStub(channel), str(address)
        )


@contextmanager
def watch(
    server: ManualClockServer, **request: Any
) -> Iterator[tuple[Picture, Callable[..., None]]]:
    """Begin a watch; yield its state, and a function that reads until a condition is true."""
    picture = Picture()
    stream = server.stub.WatchTasks(Request(**request), timeout=SECONDS)

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
