"""What callers see through each proxy of docs/proxies.md."""

from __future__ import annotations

import json
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from taskgate.v1 import (
    task_log_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    task_watch_pb2,
)
from taskgate_emulator import Emulator, ManualClock
from tests.support.demo_names import ABSENT, JOB, RUNNING
from tests.support.proxies import COMMANDS, IDLE_SECONDS, Proxy, code_blocks, running_proxy
from tests.support.running_server import REGION, running_server, settings_for

pytestmark = pytest.mark.timed  # timeouts are measured

GET_TASK = "taskgate.v1.TaskService/GetTask"
HAS_IDLE_TIMEOUT = ("nginx", "haproxy", "yaml")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server whose tasks do not change."""
    with Emulator(clock=ManualClock()) as aws:
        deadline = {
            "region": REGION,
            "endpoint_url": aws.endpoint_url,
            "logs_endpoint_url": aws.endpoint_url,
            "quotas": "off",
        }
        settings = settings_for(aws.endpoint_url, aws={"deadline": deadline, "omics": deadline})
        with running_server(settings) as address:
            yield str(address)


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def proxy(
    request: pytest.FixtureRequest, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp(request.param)
    with running_proxy(request.param, folder, server) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def envoy(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running_proxy("yaml", tmp_path_factory.mktemp("web"), server) as proxy:
        yield proxy


@pytest.fixture
def channel(proxy: Proxy) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(proxy.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> Any:
    return task_service_pb2_grpc.TaskServiceStub(channel)


def test_each_configuration_of_the_docs_is_tested() -> None:
    assert code_blocks().keys() == COMMANDS.keys()


def test_unary_calls_and_health(channel: grpc.Channel, stub: Any) -> None:
    request = task_service_pb2.GetTaskRequest(name=RUNNING)
    assert stub.GetTask(request, timeout=10).task.name == RUNNING
    health: Any = health_pb2_grpc.HealthStub(channel)
    response = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_error_details_arrive(stub: Any) -> None:
    """Each time: a proxy that loses the status of a response does so now and then."""
    for _ in range(200):
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetTask(task_service_pb2.GetTaskRequest(name=ABSENT), timeout=10)
        status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # it is a call, too
        assert status is not None, caught.value
        assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info.reason


def test_the_server_learns_the_deadline(stub: Any) -> None:
    """Without `max_wait`, a wait responds just before the deadline that the server has."""
    response = stub.WaitTask(task_watch_pb2.WaitTaskRequest(name=RUNNING), timeout=1.5)
    assert not response.done


def test_waits_end_before_the_timeout(stub: Any) -> None:
    request = task_watch_pb2.WaitTaskRequest(name=RUNNING)
    request.max_wait.FromSeconds(1)
    assert not stub.WaitTask(request, timeout=30).done


def test_heartbeats_keep_silent_streams_open(stub: Any) -> None:
    """A watch and a followed log at the same time."""
    watch_request = task_watch_pb2.WatchTasksRequest(parent=JOB)
    log_request = task_log_pb2.StreamTaskLogsRequest(name=RUNNING, follow=True)
    streams = []
    for request, method in (
        (watch_request, stub.WatchTasks),
        (log_request, stub.StreamTaskLogs),
    ):
        request.heartbeat_interval.FromSeconds(1)
        streams.append(method(request, timeout=60))
    started = time.monotonic()
    for stream in streams:
        heartbeats = 0
        for event in stream:
            heartbeats += event.HasField("heartbeat")
            if heartbeats > IDLE_SECONDS + 1:
                break
        stream.cancel()
    assert time.monotonic() - started > IDLE_SECONDS + 1, "longer than the proxy's timeout"


def test_the_timeout_cuts_streams_with_rare_heartbeats(proxy: Proxy, stub: Any) -> None:
    """So the test above tests the timeout of the configuration."""
    request = task_watch_pb2.WatchTasksRequest(parent=JOB)
    request.heartbeat_interval.FromSeconds(60)
    stream = stub.WatchTasks(request, timeout=IDLE_SECONDS + 2)
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    is_cut = caught.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
    assert is_cut == (proxy.language in HAS_IDLE_TIMEOUT)


def post(proxy: Proxy, path: str, content_type: str, data: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(  # our own
        f"http://{proxy.address}/{path}", data=data, headers={"content-type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310  # our own
            return int(response.status), response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_envoy_serves_grpc_web(envoy: Proxy) -> None:
    message = task_service_pb2.GetTaskRequest(name=RUNNING).SerializeToString()
    framed = struct.pack(">BI", 0, len(message)) + message
    status, body = post(envoy, GET_TASK, "application/grpc-web+proto", framed)
    assert status == 200
    flags, length = struct.unpack(">BI", body[:5])
    assert not flags
    response = task_service_pb2.GetTaskResponse.FromString(body[5 : 5 + length])
    assert response.task.name == RUNNING
    assert b"grpc-status:0" in body[5 + length :].replace(b" ", b"")


def test_envoy_serves_json(envoy: Proxy) -> None:
    data = json.dumps({"name": RUNNING}).encode()
    status, body = post(envoy, GET_TASK, "application/json", data)
    assert status == 200
    assert json.loads(body)["task"]["name"] == RUNNING
    data = json.dumps({"name": ABSENT}).encode()
    status, body = post(envoy, GET_TASK, "application/json", data)
    assert status == 404
    assert json.loads(body)["details"][0]["reason"]
