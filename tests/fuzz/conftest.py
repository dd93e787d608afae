from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.inprocess import InProcessServer


@pytest.fixture(scope="module")
def server() -> Iterator[InProcessServer]:
    with InProcessServer() as server:
        yield server
