"""A server with CloudWatch Logs by moto, which the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgate.v1 import task_service_pb2_grpc
from taskgate_emulator import Emulator
from tests.support.task_logs import Logs, server_with_logs

OPERATIONS = {
    "deadline": ("GetTask", "GetSessionAction", "ListSessionActions"),
    "omics": ("GetRunTask", "ListRunTasks"),
}
"""Those that tests set responses of."""


@pytest.fixture
def logs(neighbours: str) -> Logs:
    return Logs(neighbours)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def aws(emulator: Emulator) -> Iterator[Emulator]:
    """Yield the emulator; discard the responses that a test has set but not used."""
    yield emulator
    for service, operations in OPERATIONS.items():
        for operation in operations:
            emulator.discard(service, operation)


@pytest.fixture(scope="module")
def stub(emulator: Emulator, moto_server: str) -> Iterator[task_service_pb2_grpc.TaskServiceStub]:
    with server_with_logs(emulator.endpoint_url, moto_server) as stub:
        yield stub
