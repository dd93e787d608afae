"""A client of a fake service, whose sleeps are written down and not slept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from taskgate_client import Client, Timing, connect
from taskgate_server.cli import main
from tests.support.fake_service import FakeTaskService, serving

Run = Callable[..., int]
"""Runs `taskgate` with arguments and gives its exit code."""


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


@pytest.fixture
def run(address: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process, against the fake."""
    monkeypatch.setenv("TASKGATE_ADDRESS", address)
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: main(arguments)


def json_lines(text: str) -> list[dict[str, object]]:
    """The objects that a command has printed, a line each."""
    return [json.loads(line) for line in text.splitlines()]
