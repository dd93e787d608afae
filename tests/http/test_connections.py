"""What a connection can hold before its caller is known: headers, bodies, pipelined requests."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskgate_emulator import Emulator
from taskgate_server.http import connection
from taskgate_server.ports import Address
from tests.support.demo_names import RUNNING
from tests.support.http_client import SECONDS, TASKS, call, request
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.running_server import running_app, settings_for

GET_TASK = f"/{TASKS}/GetTask"


@contextmanager
def connected(http: Address) -> Iterator[socket.socket]:
    with socket.create_connection((http.host, http.port), timeout=SECONDS) as opened:
        yield opened


def received(opened: socket.socket) -> bytes:
    """Return everything that arrives until the server closes the connection."""
    parts = []
    try:
        while part := opened.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * connection.MAX_HEADER_BYTES,
        b"GET /" + b"a" * connection.MAX_HEADER_BYTES,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (connection.MAX_HEADERS + 1) + b"\r\n",
    ],
    ids=["long", "path", "many"],
)
def test_large_headers_are_refused(http: Address, head: bytes) -> None:
    with connected(http) as opened:
        opened.sendall(head)
        assert received(opened).startswith(b"HTTP/1.1 431 ")


def test_pipelined_requests_are_few(http: Address) -> None:
    with connected(http) as opened:
        opened.sendall(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n" * 1000)
        assert received(opened).count(b"HTTP/1.1 404") <= connection.MAX_PIPELINED + 1


def test_what_is_not_http_is_refused(http: Address) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with connected(http) as opened:
            opened.sendall(nonsense)
            opened.shutdown(socket.SHUT_WR)
            assert not received(opened).startswith(b"HTTP/1.1 200")


def test_several_requests_use_one_connection(http: Address) -> None:
    message = json.dumps({"name": RUNNING}).encode()
    head = (
        f"POST {GET_TASK} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(message)}\r\n\r\n"
    ).encode()
    with connected(http) as opened:
        for _ in range(3):
            opened.sendall(head + message)
            data = b""
            while b"TASK_STATE_RUNNING" not in data or not data.endswith(b"}"):
                data += opened.recv(65536)
            assert data.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"POST / HTTP/1.1\r\nhost: loc"])
def test_slow_headers_end_the_connection(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    fields = connection.ConnectionRules.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(fields, "header_seconds", 0.3)
    with running_app(settings_for(aws.endpoint_url, http_port=0)) as (app, _):
        assert app.server.http_address is not None
        with connected(app.server.http_address) as opened:
            opened.sendall(begun)
            began = time.monotonic()
            assert received(opened) == b""
            assert 0.2 < time.monotonic() - began < connection.HEADER_SECONDS


def test_slow_bodies_end_the_call(aws: Emulator) -> None:
    settings = settings_for(aws.endpoint_url, http_port=0, request_idle_seconds=0.3)
    with running_app(settings) as (app, _):
        assert app.server.http_address is not None
        with connected(app.server.http_address) as opened:
            opened.sendall(
                f"POST {GET_TASK} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n"
                'content-type: application/json\r\n\r\n{"'.encode()
            )
            reply = received(opened)
    assert reply.startswith(b"HTTP/1.1 504 ")
    assert b"REQUEST_IDLE" in reply


def test_large_requests_are_refused(aws: Emulator) -> None:
    settings = settings_for(aws.endpoint_url, http_port=0, max_request_bytes=2048)
    with running_app(settings) as (app, _):
        reply = call(app.server.http_address, GET_TASK[1:], {"name": "a" * 4096})
    assert (reply.status, reply.json["code"]) == (429, "resource_exhausted")
    assert reply.detail["google.rpc.ErrorInfo"]["reason"] == "INVALID_REQUEST"


def test_many_values_are_refused_before_they_are_parsed(http: Address) -> None:
    reply = call(http, f"{TASKS}/BatchGetTasks", {"names": ["a"] * 70_000})
    assert reply.json["code"] == "invalid_argument"
    assert "60000 values" in reply.json["message"]


@contextmanager
def authenticating(aws: Emulator) -> Iterator[tuple[Address, Issuer]]:
    issuer = Issuer()
    with issuer.serving() as keys:
        settings = settings_for(
            aws.endpoint_url, http_port=0, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_keys=keys
        )
        with running_app(settings) as (app, _):
            assert app.server.http_address is not None
            yield app.server.http_address, issuer


def test_callers_are_authenticated_and_authorized(aws: Emulator) -> None:
    with authenticating(aws) as (http, issuer):
        own = {"authorization": f"Bearer {issuer.sign('alice')}"}
        read = call(http, f"{TASKS}/GetTask", {"name": RUNNING}, **own)
        write = call(http, f"{TASKS}/CancelTask", {"name": RUNNING}, **own)
        stranger = call(http, f"{TASKS}/GetTask", {"name": RUNNING})
        forged = call(http, f"{TASKS}/GetTask", {"name": RUNNING}, authorization="Bearer a.b.c")
    assert read.status == 200
    assert (write.status, write.json["code"]) == (403, "permission_denied")
    assert stranger.status in (401, 403)
    assert (forged.status, forged.json["code"]) == (401, "unauthenticated")


def test_a_stranger_is_refused_before_the_body_is_read(aws: Emulator) -> None:
    with authenticating(aws) as (http, _), connected(http) as opened:
        opened.sendall(
            f"POST {GET_TASK} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n"
            "authorization: Bearer a.b.c\r\ncontent-type: application/json\r\n\r\n".encode()
        )
        # The body is never sent, the error comes anyway, and the connection is not kept.
        assert received(opened).startswith(b"HTTP/1.1 401 ")


def test_a_response_before_the_end_of_the_body_announces_the_close(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a client that reuses the connection would lose its next request."""
    monkeypatch.setattr(connection, "LINGER_SECONDS", 60.0)
    with authenticating(aws) as (http, _), connected(http) as opened:
        opened.sendall(
            f"POST {GET_TASK} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20000000\r\n"
            "authorization: Bearer a.b.c\r\ncontent-type: application/json\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += opened.recv(65536)
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nconnection: close\r\n" in head
        opened.sendall(bytes(19_000_000))  # it is discarded, and does not reset the connection
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_paths_of_no_rpc_are_not_found(http: Address) -> None:
    for path in ("/nothing", "/../../etc/passwd", "/%2e%2e/etc/passwd", "//etc/passwd"):
        assert request(http, path, method="GET").status == 404
    assert request(http, "/", method="DELETE").status == 405
