"""HTTP/2 with the proxy of docs/http.md: many streams share one connection, and arrive at once."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from connectrpc.client import ConnectClient
from pyqwest import Client, HTTPTransport, HTTPVersion

from taskgate.v1 import task_watch_pb2
from taskgate_server.ports import Address
from tests.support.connectrpc_client import CODECS, WATCH_TASKS
from tests.support.demo_names import JOB
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.proxies import started

WATCHES = 20
DOCS = Path(__file__).parents[2] / "docs/http.md"
ARRIVAL_SECONDS = 20
"""A proxy that collects messages would send none before heartbeats, 60 s apart, fill its buffer."""


@pytest.fixture
def proxy(http: Address, tmp_path: Path) -> Iterator[str]:
    """Yield the address of the proxy, whose log has the number of each call's connection."""
    found = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    (port,) = free_ports(1)
    text = found[1].replace("8443", str(port)).replace("127.0.0.1:8080", str(http))
    form = "log_format own '$server_protocol $connection';"
    text = text.replace("server {", f"{form} server {{ access_log {tmp_path}/calls own;")
    with started("nginx", tmp_path, text, port, is_listening) as proxy:
        yield proxy.address


def is_listening(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_many_watches_share_one_connection(proxy: str, tmp_path: Path) -> None:
    transport = HTTPTransport(http_version=HTTPVersion.HTTP2)
    request = task_watch_pb2.WatchTasksRequest(parent=JOB)
    request.heartbeat_interval.FromSeconds(60)

    async with (
        transport,
        ConnectClient(
            f"http://{proxy}", codec=CODECS["json"], http_client=Client(transport)
        ) as client,
    ):
        everyone = asyncio.Barrier(WATCHES)

        async def watch() -> None:
            stream: Any = client.execute_server_stream(request=request, method=WATCH_TASKS)
            async with aclosing(stream) as messages:
                async for message in messages:
                    if message.WhichOneof("event") == "snapshot_end":
                        await everyone.wait()  # all of them are open at once
                        return

        async with asyncio.timeout(ARRIVAL_SECONDS):
            await asyncio.gather(*(watch() for _ in range(WATCHES)))

    def calls() -> list[list[str]]:
        return [line.split() for line in (tmp_path / "calls").read_text().splitlines()]

    wait_until(lambda: len(calls()) == WATCHES)  # nginx logs a call when it has ended
    assert {protocol for protocol, _ in calls()} == {"HTTP/2.0"}
    assert len({connection for _, connection in calls()}) == 1
