"""Three replicas of the real command, and the Envoy of deploy/envoy in front of them."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from taskgate_emulator import Emulator
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.server_process import LoggedServer, is_serving, server_environment

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy/envoy/envoy.yaml"
ENVOY = ROOT / ".venv-tools/envoy/bin/envoy"
SECONDS = 20.0
GRACE_SECONDS = 2.2
"""Longer than an interval and a timeout of Envoy's health checks together."""


@dataclass
class Replicas:
    """Servers that can be restarted, each on its own port."""

    aws: Emulator
    folder: Path
    ports: list[int]
    served: list[LoggedServer]
    envoy: str = ""
    """Where Envoy listens."""
    admin: str = ""
    """The address of Envoy's admin interface."""

    @property
    def addresses(self) -> str:
        """Return all addresses as a gRPC target."""
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def start(self, index: int) -> LoggedServer:
        """Start a server; return before it serves."""
        variables = {
            "LISTEN_PORT": str(self.ports[index]),
            "DRAIN_GRACE_SECONDS": str(GRACE_SECONDS),
            "DEFAULT_MAX_AGE_SECONDS": "0.1",
        }
        log = self.folder / f"{index}-{time.monotonic_ns()}.log"
        return LoggedServer(log, server_environment(self.aws, **variables))

    def wait(self, index: int) -> None:
        """Wait until a server serves."""
        wait_until(lambda: is_serving(f"127.0.0.1:{self.ports[index]}"))

    def close(self) -> None:
        """Kill all servers."""
        for each in self.served:
            each.close()

    def healthy_count(self) -> int:
        """Return how many servers Envoy considers healthy."""
        url = f"http://{self.admin}/stats?format=json&filter=cluster.taskgate.membership_healthy"
        with urllib.request.urlopen(url) as answer:
            return int(json.load(answer)["stats"][0]["value"])


def envoy_config(ports: list[int], listen: int, admin: int) -> dict[str, Any]:
    """Return the configuration of deploy/envoy with other ports."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    config["admin"]["address"]["socket_address"]["port_value"] = admin
    resources = config["static_resources"]
    resources["listeners"][0]["address"]["socket_address"]["port_value"] = listen
    endpoints = resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert len(endpoints) == len(ports)
    for each, port in zip(endpoints, ports, strict=True):
        each["endpoint"]["address"]["socket_address"]["port_value"] = port
    return config


@contextmanager
def running_replicas(aws: Emulator, folder: Path) -> Iterator[Replicas]:
    """Run three servers and Envoy; yield them once all are ready."""
    *ports, listen, admin = free_ports(5)
    replicas = Replicas(aws, folder, ports, [])
    file = folder / "envoy.yaml"
    file.write_text(yaml.safe_dump(envoy_config(ports, listen, admin)))
    assert ENVOY.exists(), "make .venv-tools/envoy/stamp installs Envoy"
    with ExitStack() as stack:
        replicas.served = [replicas.start(index) for index in range(3)]
        stack.callback(replicas.close)
        log = stack.enter_context((folder / "envoy.log").open("w"))
        # With hot restart, only one Envoy could run on a machine: its socket has a fixed name.
        options = ("--concurrency", "1", "--log-level", "warning", "--disable-hot-restart")
        envoy = subprocess.Popen([str(ENVOY), "-c", str(file), *options], stderr=log)
        stack.callback(envoy.wait)
        stack.callback(envoy.kill)
        for index in range(3):
            replicas.wait(index)
        replicas.envoy, replicas.admin = f"127.0.0.1:{listen}", f"127.0.0.1:{admin}"
        wait_until(
            lambda: is_serving(replicas.envoy) and replicas.healthy_count() == len(ports), 60
        )
        assert envoy.poll() is None, (folder / "envoy.log").read_text()
        yield replicas
