"""Pytest fixtures: `aws`, an emulator per test, with a manual clock.

Enable it with `-p taskgate_emulator.pytest_plugin`, or in a conftest:

    pytest_plugins = ["taskgate_emulator.pytest_plugin"]

A marker sets the options of a test's emulator: `@pytest.mark.aws(seed="empty", quotas="aws")`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taskgate_emulator.core.clock import ManualClock
from taskgate_emulator.emulator import Emulator

__all__ = ["aws", "aws_clock", "aws_environment", "pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "aws(**options): options of the emulator of `aws`")


@pytest.fixture
def aws_clock() -> ManualClock:
    """The clock of `aws`; tasks progress when it is advanced."""
    return ManualClock()


@pytest.fixture
def aws(request: pytest.FixtureRequest, aws_clock: ManualClock) -> Iterator[Emulator]:
    """A local AWS."""
    marker = request.node.get_closest_marker("aws")
    options: dict[str, Any] = {"clock": aws_clock, **(marker.kwargs if marker else {})}
    with Emulator(**options) as emulator:
        yield emulator


@pytest.fixture
def aws_environment(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """`aws`, with the environment variables that make boto3, the AWS CLI and other SDKs use it."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return aws
