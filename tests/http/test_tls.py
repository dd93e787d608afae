"""TLS over HTTP: the same certificates as over gRPC, client certificates, renewal."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from taskgate_server.config import Settings
from taskgate_server.ports import Address
from tests.support.authority import LOOPBACK, Authority, Credentials
from tests.support.background_callers import Caller
from tests.support.demo_names import RUNNING
from tests.support.http_client import SECONDS, TASKS
from tests.support.polling import wait_until
from tests.support.running_server import running_app, settings_for

PATH = f"/{TASKS}/GetTask"
POLICY = """
permit (principal == Certificate::"render", action in Action::"read", resource);
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls(aws: Emulator, authority: Authority, tmp_path: Path) -> Settings:
    certificate, key = authority.issue("server", *LOOPBACK).write(tmp_path)
    return settings_for(
        aws.endpoint_url, http_port=0, tls_certificate_file=certificate, tls_key_file=key
    )


def context_of(
    authority: Authority, folder: Path, client: Credentials | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    if client is not None:
        own = folder / "client"
        own.mkdir(exist_ok=True)
        context.load_cert_chain(*client.write(own))
    return context


def status(address: Address | None, context: ssl.SSLContext) -> int:
    """Return the HTTP status of a read on a new connection."""
    assert address is not None
    connection = HTTPSConnection(address.host, address.port, timeout=SECONDS, context=context)
    try:
        message = json.dumps({"name": RUNNING})
        connection.request("POST", PATH, message, {"content-type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_calls_are_served_over_tls(tls: Settings, authority: Authority, tmp_path: Path) -> None:
    with running_app(tls) as (app, _):
        assert status(app.server.http_address, context_of(authority, tmp_path)) == 200


def test_the_holder_of_a_client_certificate_is_the_caller(
    tls: Settings, authority: Authority, tmp_path: Path
) -> None:
    trusted, policy = tmp_path / "clients.crt", tmp_path / "policy.cedar"
    trusted.write_bytes(authority.certificate)
    policy.write_text(POLICY)
    mutual = tls.model_copy(update={"tls_client_ca_file": trusted, "policy_files": (policy,)})
    with running_app(mutual) as (app, _):
        http = app.server.http_address
        render, other = authority.issue("render"), authority.issue("other")
        assert status(http, context_of(authority, tmp_path, render)) == 200
        assert status(http, context_of(authority, tmp_path, other)) == 403
        for wrong in (None, Authority("stranger").issue("render")):
            with pytest.raises(OSError):  # noqa: PT011  # an alert, or a reset after it
                status(http, context_of(authority, tmp_path, wrong))


def test_certificates_are_renewed_under_load_without_failed_calls(
    tls: Settings, authority: Authority, tmp_path: Path
) -> None:
    new = authority.issue("server", *LOOPBACK)
    context = context_of(authority, tmp_path)
    with running_app(tls) as (app, _):
        http = app.server.http_address
        assert http is not None
        place = http.host, http.port

        def is_renewed() -> bool:
            return ssl.get_server_certificate(place, timeout=SECONDS) == new.certificate.decode()

        assert not is_renewed()
        with Caller("renewed", lambda: status(http, context), pause=0) as caller:
            new.write(tmp_path)
            wait_until(is_renewed)
            before = caller.calls
            wait_until(lambda: caller.calls > before + 5)
            assert all(is_renewed() for _ in range(5))
    assert caller.failures == []
