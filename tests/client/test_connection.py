"""Commands that call servers with TLS, client certificates, tokens and targets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from taskgate_client.commands.connection import VARIABLES
from taskgate_client.commands.main import main
from taskgate_emulator import Emulator
from taskgate_server.config import COMMAND_LINE_VARIABLES
from tests.support.authority import LOOPBACK, Authority
from tests.support.demo_names import FAILED
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import running_server, settings_for


class Servers(NamedTuple):
    """A server that requires tokens, one that requires client certificates, and the files."""

    tokens: str
    certificates: str
    ca: str
    cert: str
    key: str
    token: str


@pytest.fixture(scope="module")
def servers(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    authority, issuer = Authority(), Issuer()
    ca = folder / "ca.pem"
    ca.write_bytes(authority.certificate)
    paths: dict[str, tuple[Path, Path]] = {}
    for name in ("server", "client"):
        (folder / name).mkdir()
        issued = authority.issue(name, *(LOOPBACK if name == "server" else ()))
        paths[name] = issued.write(folder / name)
    certificate, key = paths["server"]
    token = folder / "token"
    token.write_text(issuer.sign("alice") + "\n")
    tls = {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}
    with issuer.serving() as keys:
        token_settings = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": keys}
        certificate_settings = {"tls_client_ca_file": str(ca)}
        with (
            running_server(
                settings_for(aws.endpoint_url, **tls, **token_settings), io.StringIO()
            ) as first,
            running_server(
                settings_for(aws.endpoint_url, **tls, **certificate_settings), io.StringIO()
            ) as second,
        ):
            cert, own_key = paths["client"]
            yield Servers(str(first), str(second), str(ca), str(cert), str(own_key), str(token))


def test_a_token_is_sent_over_tls(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--address", servers.tokens, "--ca-file", servers.ca, "--token-file", servers.token]
    assert main(["get", FAILED, "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == FAILED
    assert main(["health", *options]) == 0


def test_variables_replace_options(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "TASKGATE_ADDRESS": servers.certificates,
        "TASKGATE_CA_FILE": servers.ca,
        "TASKGATE_CERT_FILE": servers.cert,
        "TASKGATE_KEY_FILE": servers.key,
        "TASKGATE_TLS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["get", FAILED, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == FAILED


def test_a_call_without_a_token_prints_the_reason(
    servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", FAILED, "--address", servers.tokens, "--ca-file", servers.ca]) == 1
    assert "IDENTITY_MISSING" in capsys.readouterr().err


def test_a_target_is_sent(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--address", servers.certificates, "--ca-file", servers.ca, "--target", "studio"]
    own = ["--cert-file", servers.cert, "--key-file", servers.key]
    assert main(["get", FAILED, *options, *own]) == 1
    assert "studio" in capsys.readouterr().err


def test_contradicting_options_fail_before_a_call(
    servers: Servers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent.pem")
    for options, word in (
        (["--token-file", servers.token], "TLS"),
        (["--cert-file", servers.cert], "key"),
        (["--ca-file", absent], absent),
        (["--tls", "--token-file", absent], absent),
    ):
        assert main(["info", "--address", servers.tokens, *options]) == 2
        assert word in capsys.readouterr().err


def test_the_server_accepts_the_variables_of_the_command_line() -> None:
    assert set(VARIABLES) == COMMAND_LINE_VARIABLES
