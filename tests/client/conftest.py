"""A client of a fake service, whose sleeps are written down and not slept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgate_client import Client, Timing, connect
from tests.client.fake_service import FakeTaskService, serving


@pytest.fixture
def fake() -> FakeTaskService:
    return FakeTaskService()


@pytest.fixture
def address(fake: FakeTaskService) -> Iterator[str]:
    with serving(fake) as address:
        yield address


@pytest.fixture
def slept() -> list[float]:
    """What the client has slept."""
    return []


@pytest.fixture
def client(address: str, slept: list[float]) -> Iterator[Client]:
    timing = Timing(sleep=slept.append, random=lambda: 0.5)
    with connect(address, timing) as client:
        yield client
