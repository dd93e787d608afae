"""GetServerInfo: how much of AWS's quotas is used."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.config import AwsSettings
from tests.support.running_server import REGION, running_server, settings_for

SECONDS = 10.0
RUN_TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.CPU_TASK_ID}"


@pytest.fixture
def tasks() -> Iterator[task_service_pb2_grpc.TaskServiceStub]:
    """Of a server that keeps to the published quotas."""
    with Emulator() as aws:
        limited = AwsSettings(region=REGION, endpoint_url=aws.endpoint_url)
        settings = settings_for(aws.endpoint_url, aws={"deadline": limited, "omics": limited})
        with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
            yield task_service_pb2_grpc.TaskServiceStub(channel)


def usage(
    tasks: task_service_pb2_grpc.TaskServiceStub, service: str
) -> dict[str, task_service_pb2.QuotaUsage]:
    """Return the usage of an AWS service by operation."""
    info = tasks.GetServerInfo(task_service_pb2.GetServerInfoRequest(), timeout=SECONDS)
    [found] = [each for each in info.aws_services if each.name == service]
    return {each.operation: each for each in found.quota_usage}


def test_quota_usage_has_limit_and_present_rate(
    tasks: task_service_pb2_grpc.TaskServiceStub,
) -> None:
    assert "GetRunTask" not in usage(tasks, "omics")
    for _ in range(5):
        tasks.GetTask(task_service_pb2.GetTaskRequest(name=RUN_TASK), timeout=SECONDS)
    used = usage(tasks, "omics")["GetRunTask"]
    # AWS allows 10 calls per second, of which 4 % are left unused.
    assert used.limit == pytest.approx(9.6)
    assert 0 < used.used <= used.limit


def test_operation_without_a_published_quota_has_no_limit(
    tasks: task_service_pb2_grpc.TaskServiceStub,
) -> None:
    name = (
        f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
        f"/steps/{seed.RENDER_STEP_ID}/tasks/{seed.RUNNING_TASK_ID}"
    )
    tasks.GetTask(task_service_pb2.GetTaskRequest(name=name), timeout=SECONDS)
    operations = usage(tasks, "deadline")
    assert list(operations) == sorted(operations)
    assert all(not each.HasField("limit") for each in operations.values())
    assert any(each.used > 0 for each in operations.values())
