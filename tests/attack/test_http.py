"""Anonymous callers of the HTTP port: the cost of one request, many connections, held bodies.

The bars are those of the gRPC port.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import struct
from contextlib import ExitStack
from typing import Any

import pytest

from tests.attack.attacker import attacked, check_others, is_noticed
from tests.attack.attacks import ATTACKS, CONTROL, Attack
from tests.attack.conftest import Sites
from tests.support.demo_names import RUNNING
from tests.support.guarded_process import Experience, GuardedServer, experience
from tests.support.http_client import TASKS, call, request
from tests.support.polling import wait_until

pytestmark = pytest.mark.alone

CPU_SECONDS = 0.050
RETAINED_BYTES = 1024 * 1024
MANY = 200
LIMIT = 50
CALLS = 10
ROUNDS = 3
NOTICED = (
    ATTACKS if os.environ.get("ATTACKS") == "all" else ("long name", "names to read", "long token")
)
"""Attacks whose effect on other callers is measured; `make attack` sends all."""
HELD = 300
"""Connections whose bodies do not end."""
HELD_BYTES = 300 * 1024
"""Memory for each of them: uvicorn reads up to 64 KiB and one piece of the system's."""


@pytest.fixture(scope="module")
def site(sites: Sites) -> GuardedServer:
    return sites(http_port="0", max_connections_per_address="1000")


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(4096) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def send(site: GuardedServer, attack: Attack, body: bytes, media: str) -> str:
    """Send an attack; return the status, of gRPC-Web that of gRPC."""
    metadata = {key: str(value) for key, value in attack.metadata}
    headers = {"content-type": media, "host": "localhost", **metadata}
    try:
        reply = request(site.http_address, attack.method, body, headers=headers)
    except OSError:  # the server does not read bodies that it refuses
        return "reset"
    return reply.headers.get("grpc-status") or str(reply.status)


def bodies(attack: Attack) -> dict[str, bytes]:
    message = attack.make()
    text = json.dumps({"name": message.decode("latin-1")}).encode()
    return {
        "application/grpc-web+proto": struct.pack(">BI", 0, len(message)) + message,
        "application/json": text[: 4 * 1024 * 1024],
    }


@pytest.mark.parametrize("name", ATTACKS)
def test_anonymous_request_costs_little(site: GuardedServer, name: str) -> None:
    attack = ATTACKS[name]
    for media, body in bodies(attack).items():
        costs = []
        for _ in range(ROUNDS):  # what the allocator retains once, it does not retain again
            gc.collect()
            cpu, rss = site.cpu(), site.rss()
            codes = {send(site, attack, body, media) for _ in range(CALLS)}
            costs.append(((site.cpu() - cpu) / CALLS, max(site.rss() - rss, 0) / CALLS, codes))
            if costs[-1][0] < CPU_SECONDS and costs[-1][1] < RETAINED_BYTES:
                break
        else:
            raise AssertionError((media, costs))


@pytest.fixture(scope="module")
def quiet(site: GuardedServer) -> Experience:
    """Return what a caller of the HTTP port experiences without any attack."""
    asyncio.run(experience(site, site.token("bob"), transport="http"))  # what is loaded once
    return asyncio.run(experience(site, site.token("bob"), transport="http"))


@pytest.mark.parametrize("name", NOTICED)
def test_attack_hardly_affects_other_callers(
    site: GuardedServer, quiet: Experience, name: str
) -> None:
    check_others(site, quiet, name, transport="http")


def test_without_the_defence_the_attack_affects_other_callers(sites: Sites) -> None:
    site = sites(weakness="work_before_permission", http_port="0")
    metadata = site.token("bob")
    quiet = asyncio.run(experience(site, metadata, transport="http"))
    with attacked(site, CONTROL, seconds=20, transport="http"):
        during = asyncio.run(experience(site, metadata, calls=3, transport="http"))
    assert is_noticed(quiet, during), (quiet, during)


def test_a_caller_with_a_token_is_served(site: GuardedServer) -> None:
    ((key, value),) = site.token("bob")
    headers: dict[str, Any] = {key: value}
    assert call(site.http_address, f"{TASKS}/GetTask", {"name": RUNNING}, **headers).status == 200


def test_connections_of_one_address_are_bounded(sites: Sites) -> None:
    site = sites(http_port="0", max_connections_per_address=str(LIMIT))
    host, port = site.http_address.rsplit(":", 1)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(MANY)
        ]
        wait_until(lambda: sum(map(is_open, opened)) <= LIMIT)


def test_bodies_that_do_not_end_hold_little(site: GuardedServer) -> None:
    host, port = site.http_address.rsplit(":", 1)
    ((key, value),) = site.token("bob")
    head = (
        f"POST /{TASKS}/GetTask HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4000000\r\n"
        f"{key}: {value}\r\ncontent-type: application/json\r\n\r\n"
    ).encode()
    before = site.rss()
    with ExitStack() as stack:
        for _ in range(HELD):
            opened = stack.enter_context(socket.create_connection((host, int(port))))
            opened.sendall(head + b'{"name":"' + b"x" * 32 * 1024)
        ((key, value),) = site.token("eve")
        headers: dict[str, Any] = {key: value}
        assert (
            call(site.http_address, f"{TASKS}/GetTask", {"name": RUNNING}, **headers).status == 200
        )
        assert site.rss() - before < HELD * HELD_BYTES
