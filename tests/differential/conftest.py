"""Fixtures of the differential suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from taskgate_emulator import Emulator
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import Exchange
from tests.support.json_channel import JsonChannel
from tests.support.running_server import running_app, settings_for

OVER_HTTP = os.environ.get("DIFFERENTIAL_OVER") == "http"
"""Whether calls are made in JSON over HTTP instead of gRPC: `make http-differential`."""


@pytest.fixture(scope="session")
def clients(aws: Emulator) -> Iterator[dict[str, Any]]:
    """The judge: plain boto3 clients of the emulator, by service."""
    config = Config(inject_host_prefix=False, retries={"total_max_attempts": 1})
    session: Any = boto3.Session(region_name="us-west-2")
    made = {
        spec.name: session.client(spec.name, endpoint_url=aws.endpoint_url, config=config)
        for spec in SERVICES
    }
    yield made
    for client in made.values():
        client.close()


@pytest.fixture(scope="session")
def channel_over_http(aws: Emulator) -> Iterator[JsonChannel]:
    """Yield a channel to a server's HTTP port."""
    with running_app(settings_for(aws.endpoint_url, http_port=0)) as (app, _):
        assert app.server.http_address is not None
        channel = JsonChannel(app.server.http_address)
        yield channel
        channel.close()


@pytest.fixture(scope="session")
def exchange(aws: Emulator, request: pytest.FixtureRequest, clients: dict[str, Any]) -> Exchange:
    """Return what performs a call with boto3 and with Taskgate."""
    name = "channel_over_http" if OVER_HTTP else "channel"
    return Exchange(aws, request.getfixturevalue(name), clients)
