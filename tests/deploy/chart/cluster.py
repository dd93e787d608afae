"""Three replicas and Envoy with the files of values-production.yaml, but for their addresses.

STRICT_DNS becomes STATIC, with the replicas' ports in place of the headless Service's addresses.
"""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from cryptography import x509

from taskgate_client import Client, Tls, connect
from taskgate_emulator import Emulator
from tests.deploy.chart.pods import TASKGATE, LocalPod, write_secret
from tests.deploy.chart.rendered import Manifests, committed
from tests.support.authority import Authority
from tests.support.issuer import Issuer
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.replicas import ENVOY
from tests.support.server_process import is_serving

REPLICAS = 3
HOST = "taskgate-envoy.taskgate.svc"
"""What callers know Envoy by."""


@dataclass
class Cluster:
    """The replicas and the Envoy in front of them."""

    aws: Emulator
    folder: Path
    issuer: Issuer
    stack: ExitStack
    keys: str
    """Where the issuer's keys are."""
    manifests: Manifests = field(default_factory=lambda: committed("production"))
    ports: list[dict[str, int]] = field(default_factory=list)
    """Of each replica, by their names in its pod."""
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    envoy: str = ""
    admin: str = ""

    def start(self, index: int) -> subprocess.Popen[bytes]:
        """Starts a replica, on the ports that are its own; it need not serve yet."""
        folder = self.folder / f"{index}-{time.monotonic_ns()}"
        folder.mkdir()
        settings = self.manifests.settings()
        ports = self.ports[index]
        replaced = {
            "0.0.0.0": "127.0.0.1",  # noqa: S104  # what it is to be no more
            settings["jwt_keys"]: self.keys,
            **{str(there): str(ports[name]) for name, there in self._ports().items()},
        }
        pod = LocalPod(self.manifests, "taskgate", folder, replaced, self._secrets())
        environment = {}
        for service in settings["aws"]:
            environment[f"TASKGATE_AWS__{service.upper()}__ENDPOINT_URL"] = self.aws.endpoint_url
            environment[f"TASKGATE_AWS__{service.upper()}__QUOTAS"] = "off"
        return pod.start(
            "taskgate", *TASKGATE, stack=self.stack, **environment, **self.aws.environment
        )

    def certify(self, authority: Authority) -> None:
        """Gives the server and Envoy a certificate, as cert-manager does, for the chart's names."""
        names = self.manifests.of("Certificate")[0]["spec"]["dnsNames"]
        issued = authority.issue("taskgate", *map(x509.DNSName, names))
        files = {"tls.crt": issued.certificate, "tls.key": issued.key}
        write_secret(self.folder / "tls", {**files, "ca.crt": authority.certificate})

    def wait(self, index: int) -> None:
        """Waits until it serves."""
        wait_until(lambda: is_serving(f"127.0.0.1:{self.ports[index]['health']}"))

    def start_envoy(self) -> None:
        """Starts Envoy, and waits until it knows all of them."""
        folder = self.folder / "envoy"
        folder.mkdir()
        pod = LocalPod(self.manifests, "taskgate-envoy", folder, {}, self._secrets())
        listen, health, admin = free_ports(3)
        file = Path(f"{folder}/etc/envoy/config/envoy.yaml")
        config = yaml.safe_load(file.read_text())
        self._bring_here(config, {"callers": listen, "health": health}, admin)
        file.write_text(yaml.safe_dump(config))
        assert ENVOY.exists(), "make .venv-tools/envoy/stamp installs Envoy"
        pod.start("envoy", str(ENVOY), stack=self.stack)
        self.envoy, self.admin = f"127.0.0.1:{listen}", f"127.0.0.1:{admin}"
        wait_until(lambda: self.known() == REPLICAS)
        probe = self.manifests.container("envoy", "taskgate-envoy")["readinessProbe"]["httpGet"]
        assert _get(f"http://127.0.0.1:{health}{probe['path']}") == ""

    def known(self) -> int:
        """How many replicas Envoy has found to serve."""
        try:
            stats = _get(f"http://{self.admin}/stats?filter=cluster.taskgate.membership_healthy")
        except OSError:
            return 0
        return int(stats.rpartition(" ")[2] or 0)

    def client(self) -> Client:
        """Return a client that the policy permits to read, over TLS."""
        token = self.issuer.sign("alice", iss=self.manifests.settings()["jwt_issuer"])
        tls = Tls(ca=self.folder / "tls/ca.crt", server_name=HOST)
        return self.stack.enter_context(connect(self.envoy, tls=tls, token=token))

    def channel(self) -> grpc.Channel:
        """Return the same client without the metadata of parents."""
        token = self.issuer.sign("alice", iss=self.manifests.settings()["jwt_issuer"])
        credentials = grpc.composite_channel_credentials(
            Tls(ca=self.folder / "tls/ca.crt").credentials(),
            grpc.access_token_call_credentials(token),
        )
        options = (("grpc.ssl_target_name_override", HOST),)
        return self.stack.enter_context(grpc.secure_channel(self.envoy, credentials, options))

    def count(self, metric: str) -> list[int]:
        """A metric of each replica; 0 where there is none, or the replica is gone."""
        return [self._count(ports["metrics"], metric) for ports in self.ports]

    def _count(self, port: int, metric: str) -> int:
        try:
            text = _get(f"http://127.0.0.1:{port}/metrics")
        except OSError:
            return 0
        found = re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return round(sum(map(float, found)))

    def _ports(self) -> dict[str, int]:
        container = self.manifests.container()
        return {port["name"]: port["containerPort"] for port in container["ports"]}

    def _secrets(self) -> dict[str, Path]:
        return {self.manifests.of("Certificate")[0]["spec"]["secretName"]: self.folder / "tls"}

    def _bring_here(self, config: Any, listen: dict[str, int], admin: int) -> None:
        """Writes this machine's addresses into Envoy's configuration."""
        config["admin"]["address"] = _address(admin)
        resources = config["static_resources"]
        for listener in resources["listeners"]:
            listener["address"] = _address(listen[listener["name"]])
        (cluster,) = resources["clusters"]
        assert cluster["type"] == "STRICT_DNS"
        cluster["type"] = "STATIC"
        del cluster["dns_refresh_rate"]
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": _address(ports["grpc"])}} for ports in self.ports
        ]


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own
        text: str = answer.read().decode()
        return text.strip()


@contextmanager
def running_cluster(aws: Emulator, folder: Path) -> Iterator[Cluster]:
    """All of it, ready."""
    issuer = Issuer()
    with issuer.serving() as keys, ExitStack() as stack:
        cluster = Cluster(aws, folder, issuer, stack, keys)
        cluster.certify(Authority())
        for _ in range(REPLICAS):
            here = free_ports(len(cluster._ports()))
            cluster.ports.append(dict(zip(cluster._ports(), here, strict=True)))
        cluster.servers = [cluster.start(index) for index in range(REPLICAS)]
        for index in range(REPLICAS):
            cluster.wait(index)
        cluster.start_envoy()
        yield cluster
