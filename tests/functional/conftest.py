"""The AWS services beside Deadline Cloud and HealthOmics, by moto: logs, queues, events."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def neighbours(moto_server: str) -> str:
    """Where they are; nothing is in them."""
    reset = urllib.request.Request(f"{moto_server}/moto-api/reset", method="POST")  # noqa: S310  # ours
    urllib.request.urlopen(reset).close()  # noqa: S310  # ours
    return moto_server
