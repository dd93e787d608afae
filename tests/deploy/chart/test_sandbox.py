"""The sandbox as a new user has it: both containers of the rendered pod, and the first calls."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate_client.commands.exit_codes import ExitCode
from tests.deploy.chart.helm import needs_helm, rendered, values
from tests.deploy.chart.pods import TASKGATE, LocalPod
from tests.deploy.chart.rendered import ROOT, committed
from tests.support.demo_names import CANCELED
from tests.support.polling import wait_until
from tests.support.ports import free_ports

pytestmark = pytest.mark.chart

DOCS = (ROOT / "docs/kubernetes.md").read_text()


class Sandbox:
    """The pod, started."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.manifests = committed("sandbox")
        grpc_port, health_port, http_port, emulator_port = free_ports(4)
        replaced = {
            "0.0.0.0": "127.0.0.1",  # noqa: S104  # what it is to be no more
            "50051": str(grpc_port),
            "50052": str(health_port),
            "8080": str(http_port),
            "4580": str(emulator_port),
        }
        pod = LocalPod(self.manifests, "taskgate", folder, replaced)
        self.began = time.monotonic()
        self.emulator = pod.start("emulator", *TASKGATE, stack=stack)
        self.server = pod.start("taskgate", *TASKGATE, stack=stack)
        self.address = f"127.0.0.1:{grpc_port}"
        self.health_address = f"127.0.0.1:{health_port}"
        self.http_address = f"127.0.0.1:{http_port}"
        self.pod = pod

    def probe(self, name: str) -> bool:
        """A probe as the kubelet makes it."""
        service = self.manifests.container()[name]["grpc"].get("service", "")
        with grpc.insecure_channel(self.health_address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=2)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with ExitStack() as stack:
        started = Sandbox(tmp_path_factory.mktemp("sandbox"), stack)
        wait_until(lambda: started.probe("startupProbe"))
        wait_until(lambda: started.probe("readinessProbe"))
        yield started


def test_the_sandbox_is_ready_and_live(sandbox: Sandbox) -> None:
    assert sandbox.probe("readinessProbe")
    assert sandbox.probe("livenessProbe")


def documented_commands() -> list[str]:
    """What docs/kubernetes.md has a new user type after the installation."""
    section = DOCS.partition("## Try it")[2].partition("\n## ")[0]
    return re.findall(r"^taskgate (.*)$", section, re.MULTILINE)


def test_the_docs_have_first_calls() -> None:
    assert {"info", "list", "watch"} <= {command.split()[0] for command in documented_commands()}


@pytest.mark.parametrize("command", documented_commands())
def test_the_first_calls_of_the_docs_succeed(sandbox: Sandbox, command: str) -> None:
    words, _, remark = command.partition("#")
    process = subprocess.Popen(
        [*TASKGATE, *words.split()],
        env={**os.environ, "TASKGATE_ADDRESS": sandbox.address},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip()
        if "Ctrl-C" in remark:
            process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == (ExitCode.INTERRUPTED if "Ctrl-C" in remark else ExitCode.OK)


def test_the_sandbox_serves_json_and_the_console(sandbox: Sandbox) -> None:
    task = urllib.request.Request(
        f"http://{sandbox.http_address}/taskgate.v1.TaskService/GetTask",
        data=json.dumps({"name": CANCELED}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(task, timeout=10) as response:  # noqa: S310
        assert json.load(response)["task"]["name"] == CANCELED
    with urllib.request.urlopen(f"http://{sandbox.http_address}/", timeout=10) as response:
        assert b"<title>Taskgate" in response.read()


@pytest.mark.parametrize(
    ("host", "status"),
    [("taskgate.taskgate.svc:{port}", 200), ("taskgate.example:{port}", 403)],
)
def test_the_sandbox_accepts_the_names_of_the_service(
    sandbox: Sandbox, host: str, status: int
) -> None:
    """In plaintext without tokens, other names are refused: DNS rebinding."""
    connection = HTTPConnection(sandbox.http_address, timeout=10)
    with closing(connection):
        port = sandbox.http_address.rpartition(":")[2]
        connection.request("GET", "/", headers={"Host": host.format(port=port)})
        assert connection.getresponse().status == status


@needs_helm
def test_helm_test_succeeds(sandbox: Sandbox) -> None:
    (pod,) = rendered("-f", values("sandbox")).of("Pod")
    (container,) = pod["spec"]["containers"]
    there = next(arg for arg in container["args"] if ":" in arg)
    assert there == "taskgate-headless.taskgate.svc:50052"
    args = [sandbox.health_address if arg == there else arg for arg in container["args"]]
    assert subprocess.run([*TASKGATE, *args], check=False).returncode == ExitCode.OK


def test_the_sandbox_stops_within_the_grace_period(sandbox: Sandbox) -> None:
    given = sandbox.manifests.pod()["terminationGracePeriodSeconds"]
    began = time.monotonic()
    for process in (sandbox.server, sandbox.emulator):
        process.send_signal(signal.SIGTERM)
    assert sandbox.server.wait(given) == 0, sandbox.pod.log("taskgate")
    assert sandbox.emulator.wait(given) == 0, sandbox.pod.log("emulator")
    assert time.monotonic() - began < given


def test_the_readme_has_the_same_installation() -> None:
    readme = (ROOT / "README.md").read_text()
    lines = set(re.findall(r"^(?:docker|kind|helm|  --).*$", DOCS, re.MULTILINE))
    section = readme.partition("## Run it in Kubernetes")[2].partition("\n## ")[0]
    commands = re.findall(r"^(?:docker|kind|helm|  --).*$", section, re.MULTILINE)
    assert len(commands) >= 4
    assert set(commands) <= lines
    (call,) = re.findall(r"^\.venv/bin/taskgate (.*)$", section, re.MULTILINE)
    assert call in documented_commands()
