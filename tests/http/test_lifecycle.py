"""The HTTP port at start and at shutdown, with several workers, and what it costs without it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from taskgate_server import app
from taskgate_server.config import SettingsError
from taskgate_server.ports import ListenError
from tests.support.demo_names import RUNNING
from tests.support.http_client import TASKS, call
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.running_server import running_app, settings_for
from tests.support.server_process import LoggedServer, server_environment

GET_TASK = f"{TASKS}/GetTask"
HTTP_LIBRARIES = {"connectrpc", "uvicorn", "httptools", "protobuf", "pyqwest"}


def test_a_server_without_the_port_imports_none_of_its_libraries() -> None:
    code = "import sys\nfrom taskgate_server import app, rpc_registry\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HTTP_LIBRARIES


def test_a_port_that_is_taken_is_reported(aws: Emulator) -> None:
    with running_app(settings_for(aws.endpoint_url, http_port=0)) as (first, _):
        assert first.server.http_address is not None
        settings = settings_for(aws.endpoint_url, http_port=first.server.http_address.port)
        with (
            pytest.raises(ListenError, match="TASKGATE_HTTP_PORT"),
            running_app(settings),
        ):
            pass


def test_other_machines_may_not_call_in_plaintext(aws: Emulator) -> None:
    with pytest.raises(SettingsError, match=r"http_host: 0\.0\.0\.0 can be reached"):
        app.build(settings_for(aws.endpoint_url, http_port=0, http_host="0.0.0.0"))  # noqa: S104  # refused


def test_calls_that_are_late_at_shutdown_are_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an AWS that does not respond
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = settings_for(endpoint, http_port=0, drain_seconds=0.3)
        replies: list[object] = []
        with running_app(settings) as (built, _):
            address = built.server.http_address
            caller = threading.Thread(
                target=lambda: replies.append(call(address, GET_TASK, {"name": RUNNING}))
            )
            caller.start()
            in_flight: Counter[str] = built.server._in_flight
            wait_until(lambda: in_flight[GET_TASK] == 1)
        caller.join(10)
    assert not caller.is_alive()
    assert in_flight[GET_TASK] == 0


def test_no_new_connection_is_accepted_after_shutdown_has_begun(aws: Emulator) -> None:
    with running_app(settings_for(aws.endpoint_url, http_port=0)) as (built, _):
        address = built.server.http_address
        assert call(address, GET_TASK, {"name": RUNNING}).status == 200
    with pytest.raises(ConnectionRefusedError):
        call(address, GET_TASK, {"name": RUNNING})


@pytest.mark.timed
def test_workers_share_the_port(aws: Emulator, tmp_path: Path) -> None:
    port = free_port()
    environment = server_environment(
        aws, LISTEN_PORT="0", WORKERS="2", HTTP_PORT=str(port), LOG_LEVEL="INFO"
    )
    server = LoggedServer(tmp_path / "log", environment)
    try:
        listening = server.line("listening for http", 2)
        assert listening["address"] == f"127.0.0.1:{port}"
        for _ in range(20):
            assert call(f"127.0.0.1:{port}", GET_TASK, {"name": RUNNING}).status == 200
        assert {line["worker"] for line in server.lines("listening for http")} == {0, 1}
        assert server.stop() == 0
    finally:
        server.close()


async def test_health_reports_not_serving_during_the_grace(aws: Emulator) -> None:
    built = app.build(settings_for(aws.endpoint_url, http_port=0))
    await built.server.start()
    try:
        drain = asyncio.ensure_future(built.server.drain(5, grace_seconds=1))
        await asyncio.sleep(0)
        reply = await asyncio.to_thread(
            call, built.server.http_address, "grpc.health.v1.Health/Check", {"service": "live"}
        )
        assert reply.json == {"status": "NOT_SERVING"}
        assert await drain == 0
    finally:
        await built.close()
