"""Retries, quotas and the circuit breaker, over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate_client import CallError, Client, OmicsTaskName, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.config import AwsSettings
from tests.support.call_errors import error_of
from tests.support.polling import becomes_true
from tests.support.ports import refused_endpoint
from tests.support.running_server import REGION, running_server, settings_for

TASK = OmicsTaskName(seed.RUN_ID, seed.CPU_TASK_ID)


@contextmanager
def connected(
    endpoint_url: str, deadline: AwsSettings | None = None, **more: Any
) -> Iterator[Client]:
    aws = AwsSettings(region=REGION, endpoint_url=endpoint_url, **more)
    settings = settings_for(endpoint_url, aws={"deadline": deadline or aws, "omics": aws})
    with running_server(settings) as address, connect(str(address)) as client:
        yield client


def test_a_failed_read_is_retried(aws: Emulator) -> None:
    with connected(aws.endpoint_url) as client:
        aws.fail("omics", "GetRunTask", "InternalServerException")
        before = aws.request_count
        assert client.get_task(TASK).omics.task_id == TASK.task
        assert aws.request_count == before + 2


def test_attempts_of_a_read_are_bounded(aws: Emulator) -> None:
    with connected(aws.endpoint_url, max_attempts=2) as client:
        aws.fail("omics", "GetRunTask", "InternalServerException", times=2)
        assert error_of(lambda: client.get_task(TASK)).code is grpc.StatusCode.INTERNAL


def test_a_write_without_a_token_is_sent_once(aws: Emulator) -> None:
    with connected(aws.endpoint_url) as client:
        aws.fail("omics", "CancelRun", "InternalServerException")
        before = aws.request_count
        request = omics_pb2.CancelRunRequest(id=seed.RUN_ID)
        error = error_of(lambda: client.omics.CancelRun(request))
        assert error.code is grpc.StatusCode.INTERNAL
        assert aws.request_count == before + 1


def test_a_write_with_a_token_is_retried_with_the_same_token(aws: Emulator) -> None:
    update = deadline_pb2.UpdateTaskRequest(
        farm_id=seed.FARM_ID,
        queue_id=seed.QUEUE_ID,
        job_id=seed.JOB_ID,
        step_id=seed.RENDER_STEP_ID,
        task_id=seed.CANCELED_TASK_ID,
        target_run_status=deadline_pb2.TASK_TARGET_RUN_STATUS_CANCELED,
    )
    with connected(aws.endpoint_url) as client:
        aws.fail("deadline", "UpdateTask", "InternalServerErrorException")
        before = aws.request_count
        client.deadline.UpdateTask(update)
        first, second = aws.requests[before - aws.request_count :]
        assert first.headers["x-amz-client-token"] == second.headers["x-amz-client-token"]


def test_a_call_beyond_the_quota_is_refused_at_once(aws: Emulator) -> None:
    with connected(aws.endpoint_url, request_rates={"GetRunTask": 0.1}) as client:
        before = aws.request_count
        client.get_task(TASK)
        error = error_of(lambda: client.get_task(TASK, timeout=1.0))
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (error.reason, error.domain) == ("UPSTREAM_QUOTA", "taskgate")
        assert error.retry_after_seconds is not None
        assert 1.0 < error.retry_after_seconds <= 11
        assert aws.request_count == before + 1
        # An older response uses no quota.
        assert client.get_task(TASK, max_age=60).omics.task_id == TASK.task


def test_a_failing_service_is_not_called_and_reported_not_serving(aws: Emulator) -> None:
    good = AwsSettings(region=REGION, endpoint_url=aws.endpoint_url)
    with connected(refused_endpoint(), deadline=good, max_attempts=1) as client:
        reasons = [error_of(lambda: client.get_task(TASK)).reason for _ in range(12)]
        assert reasons[0] == "UPSTREAM_UNREACHABLE"
        assert reasons[-1] == "UPSTREAM_CIRCUIT_OPEN"
        # Callers of the other AWS service, and the server as a whole, are not concerned.
        assert client.is_serving()

        def ready() -> dict[str, bool]:
            return {each.name: each.ready for each in client.get_server_info().aws_services}

        assert becomes_true(lambda: ready()["deadline"])


def test_a_throttle_carries_its_retry_delay(aws: Emulator) -> None:
    with connected(aws.endpoint_url, max_attempts=1) as client:
        members = {"retryAfterSeconds": 7, "quotaCode": "L-1", "serviceCode": "deadline"}
        aws.fail("deadline", "GetFarm", "ThrottlingException", members=members)
        request = deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID)
        with pytest.raises(grpc.RpcError) as raised:
            client.deadline.GetFarm(request)
        error = CallError.of(raised.value)
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (error.retry_after_seconds, error.quota) == (7, "L-1")
        # Nothing of that operation is sent before.
        again = error_of(lambda: client.deadline.GetFarm(request, timeout=2))
        assert again.reason == "UPSTREAM_QUOTA"
