"""Fixtures of the functional tests alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.watch_place import Place, running_place


@pytest.fixture
def place() -> Iterator[Place]:
    """An emulator that stands still, a server, and a stub."""
    with running_place() as place:
        yield place
