"""A client of a fake service, whose sleeps are recorded instead of slept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from taskgate_client import Client, Timing, connect
from taskgate_client.commands.main import main
from tests.support.fake_service import FakeTaskService, serving

Run = Callable[..., int]
"""Runs `taskgate` with arguments and returns its exit code."""


@pytest.fixture
def fake() -> FakeTaskService:
    return FakeTaskService()


@pytest.fixture
def address(fake: FakeTaskService) -> Iterator[str]:
    with serving(fake) as address:
        yield address


@pytest.fixture
def slept() -> list[float]:
    """The seconds of each sleep of the client."""
    return []


@pytest.fixture
def client(address: str, slept: list[float]) -> Iterator[Client]:
    timing = Timing(wait=lambda _, seconds: slept.append(seconds), random=lambda: 0.5)
    with connect(address, timing=timing) as client:
        yield client


@pytest.fixture
def run(address: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands in this process, against the fake."""
    monkeypatch.setenv("TASKGATE_ADDRESS", address)
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: main(arguments)


def json_lines(text: str) -> list[dict[str, object]]:
    """Parse the objects that a command has printed, one per line."""
    return [json.loads(line) for line in text.splitlines()]
