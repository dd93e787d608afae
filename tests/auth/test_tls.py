"""TLS over the wire with a private authority, and settings that prevent the start."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from taskgate_server import app
from taskgate_server.config import PLAINTEXT_PHRASE, Settings, SettingsError, load_settings
from taskgate_server.ports import Address
from tests.support.authority import LOOPBACK, Authority, Credentials
from tests.support.background_callers import Caller
from tests.support.ports import free_port
from tests.support.running_server import running_server, settings_for

SECONDS = 10.0
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
REQUEST = task_service_pb2.GetServerInfoRequest()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls(aws: Emulator, authority: Authority, tmp_path: Path) -> Settings:
    """Return the settings of a server with a certificate."""
    certificate, key = authority.issue("server", *LOOPBACK).write(tmp_path)
    return settings_for(aws.endpoint_url, tls_certificate_file=certificate, tls_key_file=key)


def call(address: object, authority: Authority, client: Credentials | None = None) -> str:
    """Make a call on a new connection."""
    pair = (client.key, client.certificate) if client is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.certificate, *pair)
    with grpc.secure_channel(str(address), credentials, options=OWN_CONNECTION) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        return str(stub.GetServerInfo(REQUEST, timeout=SECONDS).version)


def test_tls_port_refuses_plaintext(tls: Settings, authority: Authority) -> None:
    with running_server(tls) as address:
        assert call(address, authority)
        with grpc.insecure_channel(str(address)) as channel:
            stub = task_service_pb2_grpc.TaskServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetServerInfo(REQUEST, timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_client_authority_requires_its_certificates(
    tls: Settings, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "clients.crt"
    file.write_bytes(authority.certificate)
    with running_server(tls.model_copy(update={"tls_client_ca_file": file})) as address:
        assert call(address, authority, authority.issue("render"))
        for wrong in (None, Authority("stranger").issue("render")):
            with pytest.raises(grpc.RpcError) as caught:
                call(address, authority, wrong)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def one_connection(authority: Authority) -> Iterator[Callable[[object], Callable[[], object]]]:
    """Makes calls on one connection."""
    channels: list[grpc.Channel] = []

    def to(address: object) -> Callable[[], object]:
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        channel = grpc.secure_channel(str(address), credentials, options=OWN_CONNECTION)
        channels.append(channel)
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        return lambda: stub.GetServerInfo(REQUEST, timeout=SECONDS)

    yield to
    for channel in channels:
        channel.close()


def shown(address: Address) -> str:
    """Return the certificate that the server presents now."""
    return ssl.get_server_certificate((address.host, address.port), timeout=SECONDS)


def test_certificate_is_renewed_under_load_without_failed_calls(
    tls: Settings,
    authority: Authority,
    tmp_path: Path,
    one_connection: Callable[[object], Callable[[], object]],
) -> None:
    new = authority.issue("server", *LOOPBACK)
    with running_server(tls) as address:
        assert shown(address) != new.certificate.decode()
        with (
            Caller("renewed", lambda: call(address, authority), pause=0) as renewed,
            Caller("kept", one_connection(address), pause=0) as kept,
        ):
            new.write(tmp_path)
            # Each acceptor has credentials of its own, and the system chooses the acceptor.
            seen = 0
            while seen < 20:
                seen = seen + 1 if shown(address) == new.certificate.decode() else 0
            before = renewed.calls, kept.calls
            while renewed.calls < before[0] + 5 or kept.calls < before[1] + 5:
                call(address, authority)
    assert renewed.failures == kept.failures == []


def test_health_port_serves_only_health_in_plaintext(tls: Settings) -> None:
    port = free_port()
    with (
        running_server(tls.model_copy(update={"health_port": port})),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        assert any(response.status == health_pb2.HealthCheckResponse.SERVING for response in watch)
        watch.cancel()
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetServerInfo(REQUEST, timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("host", ["::", "10.1.2.3", "taskgate.example"])
def test_plaintext_for_other_machines_prevents_the_start(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        app.build(Settings(listen_host=host))
    assert len(caught.value.faults) == 1
    assert PLAINTEXT_PHRASE in caught.value.faults[0]


def test_plaintext_to_everyone_requires_the_exact_phrase() -> None:
    with pytest.raises(SettingsError, match=PLAINTEXT_PHRASE):
        load_settings(plaintext_to_everyone="yes")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
async def test_plaintext_on_loopback_starts(host: str) -> None:
    await app.build(Settings(listen_host=host)).close()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"tls_key_file": None}, "needs both"),
        ({"tls_certificate_file": None, "tls_key_file": None, "tls_client_ca_file": "x"}, "needs"),
        ({"tls_certificate_file": Path("/nonexistent")}, "/nonexistent: No such file"),
        ({"tls_certificate_file": Path(__file__)}, "must be PEM certificates"),
    ],
)
def test_unusable_certificates_prevent_the_start(
    tls: Settings, change: dict[str, object], fault: str
) -> None:
    with pytest.raises(SettingsError, match=fault) as caught:
        app.build(tls.model_copy(update=change))
    assert len(caught.value.faults) == 1


def test_key_of_another_certificate_prevents_the_start(
    tls: Settings, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "tls.key").write_bytes(authority.issue("other").key)
    with pytest.raises(SettingsError, match="does not belong"):
        app.build(tls)
