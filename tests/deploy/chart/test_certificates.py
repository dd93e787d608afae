"""TLS as the chart sets it up: client certificates in the minimal one, new ones behind Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from taskgate_client import CallError, Client, Tls, connect
from taskgate_emulator import Emulator, ManualClock
from taskgate_server.services.deadline import tasks as deadline
from tests.deploy.chart.cluster import Cluster, running_cluster
from tests.deploy.chart.pods import TASKGATE, LocalPod, write_secret
from tests.deploy.chart.rendered import committed
from tests.support.authority import Authority
from tests.support.background_callers import Watcher
from tests.support.demo_names import RUNNING
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.server_process import is_serving

pytestmark = [pytest.mark.chart, pytest.mark.alone]

NAME = "taskgate.taskgate.svc"


class Minimal:
    """The pod of values-minimal.yaml, and the files of a caller."""

    def __init__(self, aws: Emulator, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._callers = Authority("callers")
        servers = Authority("servers")
        issued = servers.issue("taskgate", x509.DNSName(NAME))
        write_secret(folder / "tls", {"tls.crt": issued.certificate, "tls.key": issued.key})
        write_secret(folder / "callers", {"ca.crt": self._callers.certificate})
        (folder / "ca.crt").write_bytes(servers.certificate)
        port, health = free_ports(2)
        pod = LocalPod(
            committed("minimal"),
            "taskgate",
            folder,
            {"0.0.0.0": "127.0.0.1", "50051": str(port), "50052": str(health)},  # noqa: S104  # it is to be no more
            {"taskgate-tls": folder / "tls", "taskgate-client-ca": folder / "callers"},
        )
        endpoints = {
            f"TASKGATE_AWS__{service}__ENDPOINT_URL": aws.endpoint_url
            for service in ("DEADLINE", "OMICS")
        }
        pod.start("taskgate", *TASKGATE, stack=stack, **endpoints, **aws.environment)
        wait_until(lambda: is_serving(f"127.0.0.1:{health}"))
        self.address = f"127.0.0.1:{port}"

    def client(self, authority: Authority | None = None) -> Client:
        """A caller with a certificate of that authority; of the one that the chart trusts."""
        issued = (authority or self._callers).issue("dashboard", x509.DNSName("dashboard"))
        certificate, key = issued.write(self.folder)
        tls = Tls(ca=self.folder / "ca.crt", certificate=certificate, key=key, server_name=NAME)
        return connect(self.address, tls=tls)


@pytest.fixture(scope="module")
def minimal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minimal]:
    with Emulator() as aws, ExitStack() as stack:
        yield Minimal(aws, tmp_path_factory.mktemp("minimal"), stack)


def test_a_client_certificate_permits_only_reads(minimal: Minimal) -> None:
    with minimal.client() as client:
        assert client.get_task(RUNNING).name == RUNNING
        with pytest.raises(CallError) as refused:
            client.cancel_task(RUNNING)
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED


def test_a_certificate_of_another_authority_is_rejected(minimal: Minimal) -> None:
    with minimal.client(Authority("others")) as client, pytest.raises(CallError) as refused:
        client.get_task(RUNNING, timeout=3)
    assert refused.value.code is grpc.StatusCode.UNAVAILABLE


def test_server_and_envoy_reload_certificates_without_interruption(tmp_path: Path) -> None:
    with Emulator(clock=ManualClock()) as aws, running_cluster(aws, tmp_path) as cluster:
        job = aws.jobs.add(steps=(2,), status="READY")
        tasks = [deadline.NAMES.format(job.task(number)) for number in range(2)]
        with Watcher(cluster.client(), tasks[0].rpartition("/steps/")[0]) as watcher:
            cluster.certify(Authority("the next one"))
            # A new caller knows the new authority alone.
            wait_until(lambda: answers(cluster))
            aws.jobs.move(job.task(1), "RUNNING")
            wait_until(lambda: not watcher.lacks([(tasks[1], "RUNNING")]))
        assert (watcher.breaks, watcher.error) == ([], None)
        # Envoy's next connection to a replica finds the new certificate, and knows who signed it.
        cluster.servers[0].kill()
        wait_until(lambda: cluster.known() == len(cluster.servers) - 1)
        cluster.servers[0] = cluster.start(0)
        wait_until(lambda: cluster.known() == len(cluster.servers))


def answers(cluster: Cluster) -> bool:
    with cluster.client() as client:
        try:
            client.get_server_info(timeout=2)
        except CallError:
            return False
        return True
