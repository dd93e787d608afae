"""Fixtures of the attack suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.clock import ManualClock


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """Yield a local AWS whose tasks stay as they are: tests take longer than tasks do."""
    with Emulator(clock=ManualClock()) as emulator:
        yield emulator
