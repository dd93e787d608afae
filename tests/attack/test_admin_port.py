"""The admin port under connections that never send a request, or never end one."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Gauge

from taskgate_server import admin
from taskgate_server.admin import MAX_CONNECTIONS, Admin
from tests.support.polling import wait_until

pytestmark = pytest.mark.timed


@pytest.fixture
def served() -> Iterator[Admin]:
    registry = CollectorRegistry()
    Gauge("answer", "a metric", registry=registry).set(42)
    server = Admin("127.0.0.1", 0, registry)
    server.start()
    yield server
    asyncio.run(server.close())


def connected(server: Admin) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def scrape(server: Admin) -> float:
    """The seconds that a scrape takes."""
    began = time.monotonic()
    url = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as response:
        assert b"answer 42.0" in response.read()
    return time.monotonic() - began


def request_threads() -> int:
    return sum("process_request_thread" in each.name for each in threading.enumerate())


def half_open(server: Admin, stack: ExitStack, count: int) -> int:
    """Open connections that send half a request; returns the most threads that there were."""
    most = 0
    for _ in range(count):
        connection = stack.enter_context(connected(server))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        most = max(most, request_threads())
    return most


def test_half_open_connections_have_few_threads_and_scrapes_succeed(served: Admin) -> None:
    scrape(served)
    with ExitStack() as stack:
        most = half_open(served, stack, 200)
        assert most <= MAX_CONNECTIONS
        for _ in range(20):
            assert scrape(served) < 1
            most = max(most, half_open(served, stack, 10))
        assert most <= MAX_CONNECTIONS
    wait_until(lambda: request_threads() == 0)


def test_without_the_bound_each_connection_has_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admin, "MAX_CONNECTIONS", 1000)
    server = Admin("127.0.0.1", 0, CollectorRegistry())
    server.start()
    with ExitStack() as stack:
        half_open(server, stack, 100)
        wait_until(lambda: request_threads() == 100)
    asyncio.run(server.close())
    wait_until(lambda: request_threads() == 0)


def test_slow_request_to_the_admin_port_ends(
    served: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin._Server, "request_seconds", 1.0)
    with connected(served) as connection:
        began = time.monotonic()

        def trickle() -> None:
            while time.monotonic() - began < 8:
                connection.sendall(b"G")
                threading.Event().wait(0.05)

        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            trickle()
        assert time.monotonic() - began < 4


def test_idle_connection_to_the_admin_port_logs_no_bug(
    served: Admin, capfd: pytest.CaptureFixture[str]
) -> None:
    with connected(served):
        wait_until(lambda: request_threads() == 1)
    wait_until(lambda: request_threads() == 0)
    with connected(served) as connection:
        connection.sendall(b"\x00\xff\n\r\n")
        connection.recv(100)
    assert scrape(served) < 1
    assert "Traceback" not in capfd.readouterr().err
