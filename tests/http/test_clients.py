"""Clients that are not ours: connectrpc for Python, `buf curl` with its three protocols, curl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from connectrpc.client import ConnectClient, ConnectClientSync
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.protocol import ProtocolType

from taskgate.v1 import task_service_pb2, task_watch_pb2
from taskgate_server.ports import Address
from tests.support.connectrpc_client import CODECS, GET_TASK, WATCH_TASKS
from tests.support.demo_names import ABSENT, ENDED_RUN, JOB, RUNNING
from tests.support.http_client import TASKS

BUF = Path(sys.executable).with_name("buf")
ROOT = Path(__file__).parents[2]

REQUEST = task_service_pb2.GetTaskRequest(name=RUNNING)
PROTOCOLS = [ProtocolType.CONNECT, ProtocolType.GRPC_WEB]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
@pytest.mark.parametrize("codec", CODECS)
def test_connectrpc_for_python(http: Address, protocol: ProtocolType, codec: str) -> None:
    with ConnectClientSync(f"http://{http}", codec=CODECS[codec], protocol=protocol) as client:
        response = client.execute_unary(request=REQUEST, method=GET_TASK)
        assert response.task.name == RUNNING
        with pytest.raises(ConnectError) as caught:
            client.execute_unary(
                request=task_service_pb2.GetTaskRequest(name=ABSENT), method=GET_TASK
            )
        assert caught.value.code is Code.NOT_FOUND
        kinds = [detail.type_name for detail in caught.value.details]
        assert kinds[:2] == ["google.rpc.ErrorInfo", "google.rpc.RequestInfo"]
        watch = client.execute_server_stream(
            request=task_watch_pb2.WatchTasksRequest(parent=JOB), method=WATCH_TASKS
        )
        assert next(iter(watch)).WhichOneof("event") is not None


def test_connectrpc_for_python_reads_with_get(http: Address) -> None:
    with ConnectClientSync(f"http://{http}", codec=CODECS["proto"]) as client:
        response = client.execute_unary(request=REQUEST, method=GET_TASK, use_get=True)
    assert response.task.name == RUNNING


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.name)
async def test_connectrpc_for_asyncio(http: Address, protocol: ProtocolType) -> None:
    async with ConnectClient(f"http://{http}", codec=CODECS["json"], protocol=protocol) as client:
        response = await client.execute_unary(request=REQUEST, method=GET_TASK)
        assert response.task.name == RUNNING
        watch = client.execute_server_stream(
            request=task_watch_pb2.WatchTasksRequest(parent=JOB), method=WATCH_TASKS
        )
        assert (await anext(aiter(watch))).WhichOneof("event") is not None


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BUF), "curl", "--schema", str(ROOT / "protos"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("protocol", ["connect", "grpcweb", "grpc"])
def test_buf_curl(addresses: tuple[Address, Address], protocol: str) -> None:
    grpc_port, http = addresses
    options = ["--protocol", protocol]
    address = http
    if protocol == "grpc":
        address, options = grpc_port, [*options, "--http2-prior-knowledge"]
    url = f"http://{address}/{TASKS}"
    found = buf(*options, "-d", json.dumps({"name": RUNNING}), f"{url}/GetTask")
    assert json.loads(found.stdout)["task"]["name"] == RUNNING, found.stderr
    missing = buf(*options, "-d", json.dumps({"name": ABSENT}), f"{url}/GetTask")
    assert json.loads(missing.stderr)["code"] == "not_found"
    ended = {"parent": ENDED_RUN, "untilSettled": True}
    watch = buf(*options, "-d", json.dumps(ended), f"{url}/WatchTasks")
    assert watch.returncode == 0, watch.stderr


def test_curl(http: Address) -> None:
    curl = shutil.which("curl")
    if curl is None:
        assert os.environ.get("CI") != "true", "`.ci/packages test` installs curl"
        pytest.skip("needs Debian's package curl")  # with CI=true nothing is
    done = subprocess.run(
        [
            *(curl, "--silent", "--show-error", "--fail-with-body"),
            *("--data", json.dumps({"name": RUNNING}), f"http://{http}/{TASKS}/GetTask"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["task"]["name"] == RUNNING
