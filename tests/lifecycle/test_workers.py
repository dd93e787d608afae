"""`taskgate serve --workers`: real processes on one port."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.server_process import LoggedServer, is_serving, server_environment

INFO = task_service_pb2.GetServerInfoRequest()
OWN = (("grpc.use_local_subchannel_pool", 1),)


@contextmanager
def serving(
    aws: Emulator, folder: Path, *arguments: str, **variables: str
) -> Iterator[LoggedServer]:
    served = LoggedServer(
        folder / "log", server_environment(aws, LISTEN_PORT="0", **variables), *arguments
    )
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.wait(20)
        served.close()


def call(address: str) -> None:
    """One call on a connection of its own."""
    with grpc.insecure_channel(address, options=OWN) as channel:
        task_service_pb2_grpc.TaskServiceStub(channel).GetServerInfo(INFO, timeout=10)


def calls_served(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    lines = [line for line in text.splitlines() if line.startswith("taskgate_rpcs_total{")]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_share_the_port_and_a_dead_one_is_replaced(aws: Emulator, tmp_path: Path) -> None:
    admin, _ = free_ports(2)
    with serving(aws, tmp_path, "--workers", "2", ADMIN_PORT=str(admin), HEALTH_PORT="0") as served:
        served.line("worker serves", count=2)
        address = served.line("listening", count=2)["address"]
        assert {line["address"] for line in served.lines("listening")} == {address}
        probes = {line["address"] for line in served.lines("listening for health")}
        assert len(probes) == 1
        wait_until(lambda: is_serving(probes.copy().pop()))
        # The system spreads connections: with 40 of them each worker has some.
        for _ in range(40):
            call(address)
        counts = [calls_served(admin + index) for index in range(2)]
        assert sum(counts) == 40
        assert min(counts) > 0
        killed = served.lines("worker serves")[0]
        os.kill(killed["pid"], signal.SIGKILL)
        died = served.line("worker died")
        assert (died["worker"], died["status"]) == (killed["worker"], -signal.SIGKILL)
        again = served.line("worker serves", count=3)
        assert again["worker"] == killed["worker"]
        call(address)
        assert served.stop() == 0
    assert len(served.lines("stopped")) == 2
    assert all(line["cut"] == 0 for line in served.lines("stopped"))


def test_workers_whose_supervisor_is_killed_drain(aws: Emulator, tmp_path: Path) -> None:
    with serving(aws, tmp_path, WORKERS="2") as served:
        served.line("worker serves", count=2)
        pids = [line["pid"] for line in served.lines("worker serves")]
        served.stop(signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in pids))
        assert len(served.lines("stopped")) == 2


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"ADMIN_PORT": "65535"}, "admin_port: 3 workers need ports 65535 to 65537"),
        ({"POLICY_FILES": '["/nonexistent"]'}, "/nonexistent"),
        ({"LISTEN_HOST": "192.0.2.1", "PLAINTEXT_TO_EVERYONE": "yes"}, "plaintext_to_everyone"),
    ],
)
def test_invalid_setting_is_reported_once(
    aws: Emulator, tmp_path: Path, variables: dict[str, str], fault: str
) -> None:
    served = LoggedServer(tmp_path / "log", server_environment(aws, WORKERS="3", **variables))
    try:
        assert served.process.wait(20) == 1
        lines = served.log.read_text().splitlines()
        assert [line for line in lines if fault in line] == lines[:1]
        assert len(lines) == 1
    finally:
        served.close()


def test_port_in_use_is_reported_at_once(aws: Emulator, tmp_path: Path) -> None:
    with serving(aws, tmp_path) as first:
        port = first.line("listening")["address"].rpartition(":")[2]
        began = time.monotonic()
        served = LoggedServer(
            tmp_path / "other", server_environment(aws, WORKERS="2", LISTEN_PORT=port)
        )
        try:
            assert served.process.wait(20) == 1
            assert time.monotonic() - began < 10
            assert f"cannot listen on 127.0.0.1:{port}" in served.log.read_text()
        finally:
            served.close()
