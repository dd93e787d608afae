"""Statuses that callers get when AWS or its configuration fails, and that the server stays up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate_client import Client, OmicsTaskName, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.ports import ListenError
from tests.support.call_errors import error_of
from tests.support.polling import becomes_true
from tests.support.ports import refused_endpoint
from tests.support.running_server import running_server, settings_for

TASK = OmicsTaskName(seed.RUN_ID, seed.CPU_TASK_ID)


@contextmanager
def connected(endpoint_url: str, **settings: object) -> Iterator[Client]:
    with ExitStack() as stack:
        address = stack.enter_context(running_server(settings_for(endpoint_url, **settings)))
        yield stack.enter_context(connect(str(address)))


def ready(client: Client) -> dict[str, bool]:
    return {each.name: each.ready for each in client.get_server_info().aws_services}


def test_missing_and_malformed_ids_are_reported_together(aws: Emulator, client: Client) -> None:
    requests_before = aws.request_count
    request = deadline_pb2.GetTaskRequest(farm_id="farm-1", queue_id=seed.QUEUE_ID, task_id="")
    error = error_of(lambda: client.deadline.GetTask(request))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert {violation.field for violation in error.violations} == {
        "farm_id",
        "job_id",
        "step_id",
        "task_id",
    }
    assert "farm_id: must match the pattern farm-[0-9a-f]{32}" in error.message
    assert aws.request_count == requests_before


def test_aws_refuses_the_connection() -> None:
    with connected(refused_endpoint()) as client:
        error = error_of(lambda: client.get_task(TASK))
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert error.reason == "UPSTREAM_UNREACHABLE"
        assert "check this server's region, endpoint and network" in error.message
        assert error.retry_after_seconds is not None
        assert client.get_server_info().version


def test_a_region_that_aws_does_not_have() -> None:
    # `.invalid` never resolves (RFC 2606), as the host of a region that does not exist.
    with connected("http://omics.moon-north-1.invalid") as client:
        error = error_of(lambda: client.get_task(TASK))
        assert error.code is grpc.StatusCode.UNAVAILABLE
        # The operator finds the host in the log; callers may not know the server's network.
        assert "omics.moon-north-1.invalid" not in error.message
        assert "check this server's region" in error.message


def test_no_region() -> None:
    with connected("http://127.0.0.1:9", aws={}) as client:
        error = error_of(lambda: client.get_task(TASK))
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert error.reason == "UPSTREAM_CONFIGURATION"
        assert "TASKGATE_AWS__OMICS__REGION" in error.message
        assert not client.is_serving("taskgate.omics.v1.OmicsService")


def test_no_credentials(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with connected(aws.endpoint_url) as client:
        error = error_of(lambda: client.get_task(TASK))
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert (error.reason, error.domain) == ("UPSTREAM_CREDENTIALS", "taskgate")
        assert "credentials" in error.message
        assert not client.is_serving()

        def reasons() -> list[str]:
            return [each.not_ready_reason for each in client.get_server_info().aws_services]

        # The other service's client may still be in the making.
        assert becomes_true(lambda: all("credentials" in reason for reason in reasons()))


def test_expired_credentials_take_only_their_service_out_of_health(aws: Emulator) -> None:
    with connected(aws.endpoint_url) as client:
        client.get_task(TASK)
        client.deadline.GetFarm(deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID))
        body = {"message": "The security token included in the request is expired"}
        headers = {"x-amzn-ErrorType": "ExpiredTokenException"}
        for operation in ("GetRunTask", "ListRuns"):
            aws.respond("omics", operation, status=403, headers=headers, body=body)
        error = error_of(lambda: client.get_task(TASK))
        assert error.code is grpc.StatusCode.UNAVAILABLE
        assert error.reason == "UPSTREAM_CREDENTIALS"
        assert error.request_id
        assert becomes_true(lambda: ready(client) == {"deadline": True, "omics": False})
        assert client.is_serving("taskgate.deadline.v1.DeadlineService")


def test_operation_that_is_not_emulated(client: Client) -> None:
    request = deadline_pb2.ListAvailableMeteredProductsRequest()
    error = error_of(lambda: client.deadline.ListAvailableMeteredProducts(request))
    assert error.code is grpc.StatusCode.UNIMPLEMENTED
    assert "ListAvailableMeteredProducts" in error.message


def test_response_that_is_not_json(aws: Emulator, client: Client) -> None:
    aws.respond("omics", "GetRunTask", body=b"{")
    error = error_of(lambda: client.get_task(TASK))
    assert error.code is grpc.StatusCode.UNKNOWN
    assert error.reason == "UPSTREAM_RESPONSE_UNREADABLE"


def test_hanging_call_ends_at_the_deadline_of_caller_or_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, but never responds
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = settings_for(url, default_time_limit_seconds=0.1)
        with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
            stub = omics_pb2_grpc.OmicsServiceStub(channel)  # as no client of ours: without a limit
            request = omics_pb2.GetRunTaskRequest(id=TASK.run, task_id=TASK.task)
            error = error_of(lambda: stub.GetRunTask(request))
            assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert error.reason == "TIME_LIMIT_EXCEEDED"
            client = Client(channel)
            error = error_of(lambda: client.get_task(TASK, timeout=0.3))
            assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_two_servers_do_not_share_a_port(aws: Emulator, server_address: str) -> None:
    port = int(server_address.rpartition(":")[2])
    settings = settings_for(aws.endpoint_url, listen_port=port)
    with pytest.raises(ListenError, match="TASKGATE_LISTEN_PORT"), running_server(settings):
        raise AssertionError("it listens")
