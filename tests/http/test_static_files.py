"""The files of the console: types, headers, caching, and nothing but them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from taskgate_server.http import static_files
from taskgate_server.ports import Address
from tests.support.http_client import request
from tests.support.running_server import running_app, settings_for


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder whose subfolder `console` is served."""
    console = tmp_path / "console"
    (console / "js").mkdir(parents=True)
    (console / "index.html").write_text("<!doctype html><title>Taskgate</title>")
    (console / "js/main.js").write_text("export {};")
    (console / "notes.py").write_text("secret = 1")
    (tmp_path / "outside.txt").write_text("secret")
    monkeypatch.setattr(static_files, "files", lambda _: tmp_path)
    return tmp_path


@pytest.fixture
def http(aws: Emulator, folder: Path) -> Iterator[Address]:
    assert folder.is_dir()
    with running_app(settings_for(aws.endpoint_url, http_port=0)) as (app, _):
        assert app.server.http_address is not None
        yield app.server.http_address


def test_the_page_and_its_modules_are_served(http: Address) -> None:
    for path in ("/", "/index.html"):
        page = request(http, path, method="GET")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert b"Taskgate" in page.body
    module = request(http, "/js/main.js", method="GET")
    assert module.headers["content-type"] == "text/javascript; charset=utf-8"
    head = request(http, "/js/main.js", method="HEAD")
    assert (head.status, head.body) == (200, b"")


def test_strict_headers_come_with_every_file(http: Address) -> None:
    headers = request(http, "/", method="GET").headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_files_are_compressed_for_clients_that_accept_it(http: Address) -> None:
    plain = request(http, "/js/main.js", method="GET")
    accepting = {"accept-encoding": "gzip, deflate, br"}
    compressed = request(http, "/js/main.js", method="GET", headers=accepting)
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body
    assert "accept-encoding" in plain.headers["vary"]


def test_an_unchanged_file_is_not_sent_again(http: Address) -> None:
    first = request(http, "/js/main.js", method="GET")
    again = {"if-none-match": first.headers["etag"]}
    assert request(http, "/js/main.js", method="GET", headers=again).status == 304
    other = {"if-none-match": '"other"'}
    assert request(http, "/js/main.js", method="GET", headers=other).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/notes.py",
        "/js",
        "/js/",
        "/../outside.txt",
        "/js/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/js/..%2f..%2foutside.txt",
        "/js\\..\\..\\outside.txt",
        "//outside.txt",
        "/index.html%00.js",
    ],
)
def test_nothing_else_is_served(http: Address, path: str) -> None:
    reply = request(http, path, method="GET")
    assert reply.status == 404
    assert b"secret" not in reply.body


def test_the_console_can_be_disabled(aws: Emulator, folder: Path) -> None:
    assert folder.is_dir()
    settings = settings_for(aws.endpoint_url, http_port=0, console_enabled=False)
    with running_app(settings) as (app, _):
        assert request(app.server.http_address, "/", method="GET").status == 404
