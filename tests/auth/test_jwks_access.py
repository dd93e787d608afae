"""Key sets from an address that requires a token, or has a private authority."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import grpc
import pytest

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_server import app
from taskgate_server.auth.jwks import fetch
from taskgate_server.config import Settings, SettingsError
from taskgate_server.reloading import RejectedError
from tests.auth.web_server import redirect, send, web
from tests.support.authority import LOOPBACK, Authority
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import running_server


def guarded(token: str, seen: list[str | None]) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send keys to whoever has the token, as Kubernetes does; `seen` gets all tokens."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["Authorization"])
        if seen[-1] != f"Bearer {token}":
            request.send_error(401)
        else:
            send(b"keys")(request)

    return handle


def test_a_token_is_read_at_each_fetch_and_sent(tmp_path: Path) -> None:
    file, seen = tmp_path / "token", list[str | None]()
    with web(guarded("second", seen)) as address:
        with pytest.raises(RejectedError, match=r"HTTP status 401: .* see jwt_keys_token_file"):
            fetch(address)
        file.write_text("first\n")
        with pytest.raises(RejectedError, match="HTTP status 401"):
            fetch(address, file)
        file.write_text("second\n")
        assert fetch(address, file) == b"keys"
    assert seen == [None, "Bearer first", "Bearer second"]


def private_tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a certificate for a local web server, and the file of its authority."""
    authority, file = Authority(), folder / "own.crt"
    file.write_bytes(authority.certificate)
    certificate, key = authority.issue("issuer", *LOOPBACK).write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, file


def test_token_is_not_sent_after_a_redirect(tmp_path: Path) -> None:
    file, seen = tmp_path / "token", list[str | None]()
    file.write_text("secret")
    tls, own = private_tls(tmp_path)
    with web(guarded("secret", seen), tls) as other, web(redirect(other), tls) as address:
        with pytest.raises(RejectedError, match="HTTP status 401"):
            fetch(address, file, own)
        assert fetch(other, file, own) == b"keys"
    assert seen == [None, "Bearer secret"]


def test_token_for_loopback_is_not_sent_to_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "token", list[str | None]()
    file.write_text("secret")
    with web(guarded("other", seen)) as proxy, web(guarded("secret", [])) as address:
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/keys"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert fetch(address, file) == b"keys"
    assert seen == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, r"jwt_keys_token_file cannot be read \(No such file"),
        (b"", "jwt_keys_token_file has no token"),
        (b"se cret", "jwt_keys_token_file has no token"),
        (b"secret\r\nX-Other: 1", "jwt_keys_token_file has no token"),
        (b"secret\xff", "jwt_keys_token_file has no token"),
    ],
)
def test_a_file_without_a_token_is_reported(
    content: bytes | None, fault: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with web(send(b"keys")) as address, pytest.raises(RejectedError, match=fault) as raised:
        fetch(address, file)
    assert "secret" not in str(raised.value)


def test_private_authority_is_trusted(tmp_path: Path) -> None:
    context, own = private_tls(tmp_path)
    with web(send(b"keys"), context) as address:
        assert fetch(address, ca_file=own) == b"keys"
        with pytest.raises(RejectedError, match="cannot be reached"):
            fetch(address)
        with pytest.raises(RejectedError, match=r"jwt_keys_ca_file cannot be read \(No such file"):
            fetch(address, ca_file=tmp_path / "missing")
        own.write_text("none")
        with pytest.raises(RejectedError, match="jwt_keys_ca_file has no certificates"):
            fetch(address, ca_file=own)


def test_server_fetches_keys_from_an_issuer_that_requires_a_token(tmp_path: Path) -> None:
    issuer, file = Issuer(), tmp_path / "token"
    file.write_text("service-account-token")

    def publish(request: BaseHTTPRequestHandler) -> None:
        if request.headers["Authorization"] == "Bearer service-account-token":
            send(issuer.published())(request)
        else:
            request.send_error(401)

    with (
        web(publish) as address,
        running_server(
            Settings(
                listen_port=0,
                drain_seconds=1,
                jwt_issuer=ISSUER,
                jwt_audience=AUDIENCE,
                jwt_keys=address,
                jwt_keys_token_file=file,
            )
        ) as server,
        grpc.insecure_channel(str(server)) as channel,
    ):
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        metadata = (("authorization", f"Bearer {issuer.sign()}"),)
        request = task_service_pb2.GetServerInfoRequest()
        assert stub.GetServerInfo(request, metadata=metadata).version


@pytest.mark.parametrize("name", ["jwt_keys_token_file", "jwt_keys_ca_file"])
def test_token_or_authority_with_a_key_file_prevents_the_start(name: str, tmp_path: Path) -> None:
    values = {
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "jwt_keys": str(tmp_path / "keys.json"),
        name: tmp_path / "file",
    }
    with pytest.raises(SettingsError, match=f"{name}: needs an address"):
        app.build(Settings.model_validate(values))
