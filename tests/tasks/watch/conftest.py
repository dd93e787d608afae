"""Fixtures of the functional tests alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.manual_clock_server import ManualClockServer, manual_clock_server


@pytest.fixture
def place() -> Iterator[ManualClockServer]:
    """An emulator that stands still, a server, and a stub."""
    with manual_clock_server() as place:
        yield place
