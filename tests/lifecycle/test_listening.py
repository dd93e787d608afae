"""Addresses to listen on: IPv6 with brackets, and Unix sockets."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from taskgate_client import connect
from taskgate_emulator import Emulator
from taskgate_server import process, tls
from taskgate_server.config import Settings, SettingsError, load_settings
from taskgate_server.ports import Address, is_loopback, reserve
from tests.support.running_server import running_app, running_server, settings_for
from tests.support.server_process import running_process


@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_ipv6_with_and_without_brackets(aws: Emulator, host: str) -> None:
    settings = settings_for(aws.endpoint_url, listen_host=host, health_host=host, admin_host=host)
    assert (settings.listen_host, settings.health_host, settings.admin_host) == ("::1",) * 3
    assert tls.find_faults(settings) == []
    with running_server(settings) as address, connect(str(address)) as client:
        assert str(address).startswith("[::1]:")
        assert client.get_server_info().version


def test_server_listens_on_a_unix_socket(aws: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "taskgate.sock"
    settings = settings_for(aws.endpoint_url, listen_host=f"unix:{path}", health_port=0)
    assert tls.find_faults(settings) == []
    for _ in range(2):  # the second one finds what the first one has left, if anything
        with running_app(settings) as (app, address):
            assert str(address) == f"unix:{path}"
            assert path.is_socket()
            with connect(str(address)) as client:
                assert client.get_server_info().version
            health = app.server.health_address
            assert health is not None
            assert health.host == "127.0.0.1"


def test_socket_of_a_killed_server_is_replaced(aws: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "taskgate.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with (
        running_server(settings_for(aws.endpoint_url, listen_host=f"unix:{path}")) as address,
        connect(str(address)) as client,
    ):
        assert client.get_server_info().version


def test_socket_of_a_running_server_is_not_replaced(aws: Emulator, tmp_path: Path) -> None:
    host = f"unix:{tmp_path}/taskgate.sock"
    with running_server(settings_for(aws.endpoint_url, listen_host=host)) as address:
        with pytest.raises(OSError, match="in use"):
            reserve(Address(host=host, port=0))
        with running_process(aws, TASKGATE_LISTEN_HOST=host) as second:
            assert second.process.wait(20) == 1
            assert second.process.stderr is not None
            lines = second.process.stderr.read().splitlines()
        assert lines[-1].startswith(f"taskgate: cannot listen on {host}: does another server")
        with connect(str(address)) as client:
            assert client.get_server_info().version, "the first one goes on"


@pytest.mark.parametrize("port", ["LISTEN", "HEALTH", "HTTP", "ADMIN"])
def test_taken_port_is_the_last_that_is_reported(aws: Emulator, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        settings = {"TASKGATE_LISTEN_PORT": "0", f"TASKGATE_{port}_PORT": str(number)}
        with running_process(aws, **settings) as server:
            assert server.process.wait(20) == 1
            assert server.process.stderr is not None
            report = server.process.stderr.read()
    assert report.splitlines()[-1].startswith("taskgate: cannot listen "), report
    assert f"TASKGATE_{port}_PORT" in report.splitlines()[-1]


def test_unix_socket_has_no_drain_grace(aws: Emulator, tmp_path: Path) -> None:
    with running_process(aws, TASKGATE_LISTEN_HOST=f"unix:{tmp_path}/taskgate.sock") as server:
        server.line("listening")
        assert server.stop(signal.SIGTERM) == 0


def test_workers_do_not_share_a_unix_socket(capfd: pytest.CaptureFixture[str]) -> None:
    settings = Settings(listen_host="unix:/run/taskgate.sock", workers=2)
    assert process.serve(lambda: settings) == 1
    assert "listen_host: a Unix socket serves one process" in capfd.readouterr().err


@pytest.mark.parametrize("host", ["unix:", "unix:relative.sock"])
def test_relative_unix_socket_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="listen_host"):
        load_settings(listen_host=host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("unix:/run/x.sock", True), ("::1", True), ("192.0.2.1", False), ("::", False)],
)
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
