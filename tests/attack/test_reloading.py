"""Files that change while the server runs: after any invalid version, the next valid one is loaded.

A revoked permission must not remain in force after an earlier invalid version.
"""

from __future__ import annotations

import io
import json
import logging
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_pem_x509_certificate
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_server import app
from taskgate_server.auth.child_process import run_module
from taskgate_server.auth.policy_child import CPU_SECONDS
from taskgate_server.config import Settings, SettingsError
from taskgate_server.telemetry.json_format import JsonLines
from taskgate_server.telemetry.log_writer import LogWriter
from taskgate_server.telemetry.logs import LOG, LogOutput, set_up_logging
from tests.support.authority import LOOPBACK, Authority, Credentials
from tests.support.demo_names import RUNNING
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.metered_server import MeteredServer
from tests.support.polling import becomes_true
from tests.support.running_server import running_app, settings_for

pytestmark = pytest.mark.timed

SECONDS = 10.0
REVOKED_SECONDS = 5.0
"""Two seconds on an idle machine, most of them for the start of the process that checks the policy.
Here other tests use the processors, too."""
MARKER = "QUOTED-FROM-THE-FILE"
GOOD = 'permit (principal == User::"alice", action in Action::"read", resource);'
REVOKED = 'permit (principal == User::"bob", action in Action::"read", resource);'


@pytest.fixture(autouse=True)
def _policies_are_compiled_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time until a policy applies include its process; see conftest.py."""
    monkeypatch.setattr("taskgate_server.auth.policy.run_module", run_module)


def condition(text: str) -> str:
    return f'@id("{MARKER}") permit (principal, action, resource) when {{ {text} }};'


MANY_CLAUSES = condition(" || ".join(['principal.id == "x"'] * 500))
NESTED = condition("(" * 1500 + "true" + ")" * 1500)
BAD_POLICIES: dict[str, bytes | None] = {
    "500 clauses": MANY_CLAUSES.encode(),
    "1,500 parentheses": NESTED.encode(),
    "400 parentheses, which only the small stack of the child notices": condition(
        "(" * 400 + "true" + ")" * 400
    ).encode(),
    "arithmetic that overflows": condition("9223372036854775807 + 1 == 2").encode(),
    "an unknown type": f'permit (principal, action, resource in Queu::"{MARKER}");'.encode(),
    "no Cedar": f"{MARKER} is no policy".encode(),
    "no UTF-8": b"\xff" + MARKER.encode(),
    "more than 256 KiB": f"// {MARKER}{'x' * 256 * 1024}\n{GOOD}".encode(),
    "more than 1 MiB": f"// {MARKER}{'x' * 1024 * 1024}\n{GOOD}".encode(),
    "no file": None,
}


@dataclass
class Server:
    """A server with tokens, a policy and TLS, and its observable state."""

    address: str
    settings: Settings
    issuer: Issuer
    authority: Authority
    policy: Path
    metrics: MeteredServer
    log: io.StringIO

    def __post_init__(self) -> None:
        credentials = grpc.ssl_channel_credentials(self.authority.certificate)
        self.channel = grpc.secure_channel(self.address, credentials)
        self._tasks: Any = task_service_pb2_grpc.TaskServiceStub(self.channel)
        self._health: Any = health_pb2_grpc.HealthStub(self.channel)

    def read_as_alice(self) -> grpc.StatusCode:
        metadata = [("authorization", f"Bearer {self.issuer.sign('alice')}")]
        request = task_service_pb2.GetTaskRequest(name=RUNNING)
        try:
            self._tasks.GetTask(request, metadata=metadata, timeout=SECONDS)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    def is_serving(self, name: str) -> bool:
        request = health_pb2.HealthCheckRequest(service=name)
        status = self._health.Check(request, timeout=SECONDS).status
        return bool(status == health_pb2.HealthCheckResponse.SERVING)

    def shown_certificate(self) -> bytes:
        host, port = self.address.rsplit(":", 1)
        return ssl.get_server_certificate((host, int(port)), timeout=SECONDS).encode()

    def outdated(self, file: str) -> float:
        return self.metrics.value("taskgate_reload_outdated", file=file)

    def rejected(self, file: str) -> float:
        return self.metrics.value("taskgate_reloads_total", file=file, outcome="rejected")

    def rejections(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if "was rejected" in line["message"]]


class MemoryWriter(LogWriter):
    """Collects lines instead of writing them."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.lines = io.StringIO()

    def write(self, text: str, /, *, is_audit: bool = False) -> None:  # noqa: ARG002
        self.lines.write(text)


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Collect the log as the server writes it."""
    root, writer = logging.getLogger(), MemoryWriter()
    before = root.handlers, root.level, LOG.level
    set_up_logging("INFO", LogOutput(writer, JsonLines()))
    yield writer.lines
    logging.captureWarnings(capture=False)
    writer.close()
    root.handlers, root.level, LOG.level = before


@pytest.fixture(scope="module")
def started(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reloading")
    issuer, authority = Issuer(), Authority()
    certificate, key = authority.issue("server", *LOOPBACK).write(folder)
    policy = folder / "policy.cedar"
    policy.write_text(GOOD)
    with issuer.serving() as keys, logged() as log:
        settings = settings_for(
            aws.endpoint_url,
            admin_port=0,
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            jwt_keys=keys,
            policy_files=[policy],
            tls_certificate_file=certificate,
            tls_key_file=key,
        )
        with running_app(settings) as (running, address):
            assert running.admin is not None
            metrics = MeteredServer(str(address), f"http://127.0.0.1:{running.admin.port}/metrics")
            made = Server(str(address), settings, issuer, authority, policy, metrics, log)
            assert becomes_true(lambda: made.is_serving(""), SECONDS)
            yield made
            made.channel.close()


@pytest.fixture
def server(started: Server) -> Server:
    """The server with the good policy, and nothing in its log."""
    replace(started.policy, GOOD.encode())
    assert becomes_true(lambda: started.read_as_alice() is grpc.StatusCode.OK, SECONDS)
    assert becomes_true(lambda: started.is_serving("policy"), SECONDS)
    started.log.seek(0)
    started.log.truncate()
    return started


def replace(file: Path, content: bytes | None) -> None:
    """Replace a file as Kubernetes does: no reader sees a part of it."""
    if content is None:
        file.unlink()
        return
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


@pytest.mark.parametrize("what", BAD_POLICIES)
def test_a_revocation_is_effective_after_any_bad_version(server: Server, what: str) -> None:
    assert server.outdated("policy") == 0
    before = server.rejected("policy")
    replace(server.policy, BAD_POLICIES[what])
    assert becomes_true(lambda: server.rejected("policy") == before + 1, SECONDS)
    # The previous version remains active, and metrics and health report that it is not the newest.
    assert server.outdated("policy") == 1
    assert becomes_true(lambda: not server.is_serving("policy"), SECONDS)
    assert server.is_serving("")
    assert server.is_serving("live")
    assert server.read_as_alice() is grpc.StatusCode.OK
    assert len(server.rejections()) == 1
    assert MARKER not in server.log.getvalue()
    assert max(map(len, server.log.getvalue().splitlines())) < 2048

    replace(server.policy, REVOKED.encode())
    began = time.monotonic()
    while server.read_as_alice() is grpc.StatusCode.OK:
        assert time.monotonic() - began < REVOKED_SECONDS
    assert server.read_as_alice() is grpc.StatusCode.PERMISSION_DENIED
    assert becomes_true(lambda: server.is_serving("policy"), SECONDS)
    assert server.outdated("policy") == 0
    assert server.metrics.value("taskgate_reload_active_age_seconds", file="policy") < SECONDS


def in_this_process(text: str) -> subprocess.CompletedProcess[bytes]:
    """Parse a policy without a child process, as the control."""
    code = (
        "import cedarpy, json, sys; text = sys.stdin.read(); cedarpy.PolicySet.from_str(text);"
        "json.loads(cedarpy.policies_to_json_str(text))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], input=text.encode(), capture_output=True, check=False
    )


def test_without_the_child_process_the_policies_break_the_server() -> None:
    assert in_this_process(GOOD).returncode == 0
    assert in_this_process(NESTED).returncode < 0
    # It is no ValueError, which was all that ended in a rejection.
    assert b"RecursionError" in in_this_process(MANY_CLAUSES).stderr


@pytest.mark.parametrize("what", ["500 clauses", "1,500 parentheses", "arithmetic that overflows"])
def test_invalid_policy_at_the_start_is_reported_in_one_line(
    aws: Emulator, tmp_path: Path, what: str
) -> None:
    content = BAD_POLICIES[what]
    assert content is not None
    file = tmp_path / "policy.cedar"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"policy\.cedar") as caught:
        app.build(settings_for(aws.endpoint_url, policy_files=[file]))
    assert len(caught.value.faults) == 1
    assert "\n" not in caught.value.faults[0]


# --- Certificates ---------------------------------------------------------------------------------

P256 = bytes.fromhex("06082a8648ce3d030107")
"""The object identifier of the curve P-256 in DER."""


def of_an_unknown_curve(good: Credentials) -> Credentials:
    """The same certificate with the number of a curve that does not exist."""
    der = ssl.PEM_cert_to_DER_cert(good.certificate.decode())
    assert P256 in der
    changed = ssl.DER_cert_to_PEM_cert(der.replace(P256, P256[:-1] + b"\x7f"))
    return Credentials(changed.encode(), good.key)


def bad_certificates(authority: Authority) -> dict[str, Credentials]:
    good = authority.issue("server", *LOOPBACK)
    return {
        "an unknown curve": of_an_unknown_curve(good),
        "a curve that only OpenSSL knows": authority.issue(
            "server", *LOOPBACK, key=ec.generate_private_key(ec.SECP256K1())
        ),
        "the key of another": Credentials(good.certificate, authority.issue("other").key),
        "no certificate": Credentials(MARKER.encode(), MARKER.encode()),
    }


@pytest.mark.parametrize("what", bad_certificates(Authority()))
def test_a_renewal_is_served_after_any_bad_certificate(server: Server, what: str) -> None:
    file, key = server.settings.tls_certificate_file, server.settings.tls_key_file
    assert file is not None
    assert key is not None
    before = server.shown_certificate()
    bad = bad_certificates(server.authority)[what]
    replace(key, bad.key)
    replace(file, bad.certificate)
    assert becomes_true(lambda: server.outdated("certificates") == 1, SECONDS)
    assert becomes_true(lambda: not server.is_serving("certificates"), SECONDS)
    assert server.is_serving("")
    assert server.shown_certificate() == before
    assert MARKER not in server.log.getvalue()

    renewed = server.authority.issue("server", *LOOPBACK)
    replace(key, renewed.key)
    replace(file, renewed.certificate)
    assert becomes_true(lambda: server.outdated("certificates") == 0, SECONDS)
    assert becomes_true(lambda: server.shown_certificate() == renewed.certificate, SECONDS)
    assert becomes_true(lambda: server.is_serving("certificates"), SECONDS)


def test_the_exception_of_an_unknown_curve_is_no_value_error() -> None:
    bad = of_an_unknown_curve(Authority().issue("server"))
    with pytest.raises(UnsupportedAlgorithm):
        load_pem_x509_certificate(bad.certificate).public_key()
    assert not issubclass(UnsupportedAlgorithm, ValueError | OSError)


def test_the_child_limits_its_own_cpu() -> None:
    code = (
        "from taskgate_server.auth import policy_child as child; child.CPU_SECONDS = 1;"
        "child._outcome = lambda given: [None for _ in iter(int, 1)]; child.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], input=b"{}", check=False, timeout=60)
    assert done.returncode < 0
    assert CPU_SECONDS < 60
