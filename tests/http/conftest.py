"""A server with an HTTP port."""

from __future__ import annotations

import io
from collections.abc import Iterator

import grpc
import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from taskgate_server.ports import Address
from tests.support.running_server import running_app, settings_for


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """Yield a local AWS whose tasks stay as they are."""
    with Emulator(clock=ManualClock()) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def addresses(aws: Emulator) -> Iterator[tuple[Address, Address]]:
    """Yield the addresses of a server for gRPC and for HTTP."""
    log = io.StringIO()
    with running_app(settings_for(aws.endpoint_url, http_port=0), log) as (app, address):
        assert app.server.http_address is not None
        yield address, app.server.http_address


@pytest.fixture(scope="module")
def http(addresses: tuple[Address, Address]) -> Address:
    """Return the address for HTTP."""
    return addresses[1]


@pytest.fixture(scope="module")
def grpc_channel(addresses: tuple[Address, Address]) -> Iterator[grpc.Channel]:
    """Yield a channel to the same server."""
    with grpc.insecure_channel(str(addresses[0])) as channel:
        yield channel
