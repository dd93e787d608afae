"""A server of its own for each test, with CloudWatch Logs by moto."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgate.v1 import task_service_pb2_grpc
from taskgate_emulator import Emulator
from tests.support.task_logs import (
    Logs,
    server_with_logs,
)


@pytest.fixture
def logs(neighbours: str) -> Logs:
    return Logs(neighbours)


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def stub(aws: Emulator, neighbours: str) -> Iterator[task_service_pb2_grpc.TaskServiceStub]:
    with server_with_logs(aws.endpoint_url, neighbours) as stub:
        yield stub
