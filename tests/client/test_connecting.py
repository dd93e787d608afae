"""Commands call servers with TLS, client certificates, tokens and targets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from taskgate_client.commands.connecting import VARIABLES
from taskgate_emulator import Emulator
from taskgate_server.cli import main
from taskgate_server.config import COMMAND_LINE_VARIABLES
from tests.support.authority import LOOPBACK, Authority
from tests.support.demo_names import FAILED
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import running_server, settings_for


class Place(NamedTuple):
    """Two servers, one that wants tokens and one that wants certificates, and the files."""

    tokens: str
    certificates: str
    ca: str
    cert: str
    key: str
    token: str


@pytest.fixture(scope="module")
def place(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
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
        wants_tokens = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": keys}
        wants_certificates = {"tls_client_ca_file": str(ca)}
        with (
            running_server(
                settings_for(aws.endpoint_url, **tls, **wants_tokens), io.StringIO()
            ) as first,
            running_server(
                settings_for(aws.endpoint_url, **tls, **wants_certificates), io.StringIO()
            ) as second,
        ):
            cert, own_key = paths["client"]
            yield Place(str(first), str(second), str(ca), str(cert), str(own_key), str(token))


def test_a_token_over_tls(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--address", place.tokens, "--ca-file", place.ca, "--token-file", place.token]
    assert main(["get", FAILED, "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == FAILED
    assert main(["health", *options]) == 0


def test_variables_say_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "TASKGATE_ADDRESS": place.certificates,
        "TASKGATE_CA_FILE": place.ca,
        "TASKGATE_CERT_FILE": place.cert,
        "TASKGATE_KEY_FILE": place.key,
        "TASKGATE_TLS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["get", FAILED, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == FAILED


def test_who_has_no_token_is_told_so(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", FAILED, "--address", place.tokens, "--ca-file", place.ca]) == 1
    assert "IDENTITY_MISSING" in capsys.readouterr().err


def test_a_target_is_sent(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--address", place.certificates, "--ca-file", place.ca, "--target", "studio"]
    own = ["--cert-file", place.cert, "--key-file", place.key]
    assert main(["get", FAILED, *options, *own]) == 1
    assert "studio" in capsys.readouterr().err


def test_what_does_not_fit_together_is_told_before_anything_is_sent(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent.pem")
    for options, word in (
        (["--token-file", place.token], "TLS"),
        (["--cert-file", place.cert], "key"),
        (["--ca-file", absent], absent),
        (["--tls", "--token-file", absent], absent),
    ):
        assert main(["info", "--address", place.tokens, *options]) == 2
        assert word in capsys.readouterr().err


def test_the_server_knows_the_variables_of_the_command_line() -> None:
    assert set(VARIABLES) == COMMAND_LINE_VARIABLES
