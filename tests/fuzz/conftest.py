from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.inprocess import Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench
