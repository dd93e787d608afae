from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import grpc
import pytest
from botocore.config import Config

from taskgate_emulator import Emulator
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import Exchange


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
def exchange(aws: Emulator, channel: grpc.Channel, clients: dict[str, Any]) -> Exchange:
    return Exchange(aws, channel, clients)
