"""One operation that AWS refuses as unauthenticated takes nothing away from other callers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate_client import CallError, Client, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.polling import becomes_true
from tests.support.running_server import running_server, settings_for

CODES = (
    "MissingAuthenticationTokenException",
    "InvalidSignatureException",
    "ExpiredTokenException",
)
READS = 60
RUN = omics_pb2.GetRunRequest(id=seed.RUN_ID)
WORKFLOW = omics_pb2.GetWorkflowRequest(id="1234567")


@pytest.fixture
def own_aws() -> Iterator[Emulator]:
    with Emulator() as aws:
        yield aws


@contextmanager
def calling(aws: Emulator) -> Iterator[tuple[omics_pb2_grpc.OmicsServiceStub, Client]]:
    with (
        running_server(settings_for(aws.endpoint_url)) as address,
        connect(str(address)) as client,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield omics_pb2_grpc.OmicsServiceStub(channel), client


def refuse(aws: Emulator, operation: str, code: str) -> None:
    """Has AWS refuse all calls of an operation."""
    headers = {"x-amzn-ErrorType": code}
    aws.respond(
        "omics", operation, status=403, headers=headers, body={"message": code}, times=100_000
    )


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return CallError.of(error).reason
    return "OK"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("refused_per_read", [0.05, 1.0], ids=["1 per s", "20 per s"])
def test_refused_operation_does_not_affect_others(
    own_aws: Emulator, code: str, refused_per_read: float
) -> None:
    """One caller reads 20 times a second, another repeats the refused call at its rate."""
    refuse(own_aws, "GetWorkflow", code)
    with calling(own_aws) as (omics, client):
        seen = []
        owed = 0.0
        for _ in range(READS):
            owed += refused_per_read
            while owed >= 1:
                owed -= 1
                assert outcome(lambda: omics.GetWorkflow(WORKFLOW)) == "UPSTREAM_CREDENTIALS"
            seen.append(outcome(lambda: omics.GetRun(RUN)))
        assert seen == ["OK"] * READS
        assert client.is_serving("taskgate.omics.v1.OmicsService")


def test_refused_operation_called_concurrently_does_not_affect_others(own_aws: Emulator) -> None:
    refuse(own_aws, "GetWorkflow", "MissingAuthenticationTokenException")
    over = threading.Event()
    with calling(own_aws) as (omics, _):

        def repeat() -> None:
            while not over.is_set():
                outcome(lambda: omics.GetWorkflow(WORKFLOW))

        other = threading.Thread(target=repeat)
        other.start()
        try:
            seen = [outcome(lambda: omics.GetRun(RUN)) for _ in range(READS)]
        finally:
            over.set()
            other.join()
    assert seen == ["OK"] * READS
    operations = [request.operation for request in own_aws.requests]
    assert operations.count("GetWorkflow") > 10
    assert operations.count("ListRuns") <= 3, "a probe for each refused call"


def test_credentials_are_rejected_only_if_a_second_operation_is_refused(own_aws: Emulator) -> None:
    refuse(own_aws, "GetRun", "ExpiredTokenException")
    refuse(own_aws, "ListRuns", "ExpiredTokenException")
    with calling(own_aws) as (omics, client):
        assert outcome(lambda: omics.GetRun(RUN)) == "UPSTREAM_CREDENTIALS"
        assert becomes_true(lambda: not client.is_serving("taskgate.omics.v1.OmicsService"))
        info = {each.name: each.ready for each in client.get_server_info().aws_services}
        assert info == {"deadline": True, "omics": False}
        own_aws.discard("omics", "GetRun")
        own_aws.discard("omics", "ListRuns")
        assert becomes_true(lambda: client.is_serving("taskgate.omics.v1.OmicsService"))
        assert outcome(lambda: omics.GetRun(RUN)) == "OK"
