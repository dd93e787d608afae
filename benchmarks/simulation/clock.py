"""A virtual clock: time passes as fast as there is nothing to do, and chance is the same each time.

Code that waits by the event loop's own timers needs no change for it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class _Skipping(selectors.SelectSelector):
    """A selector that does not wait: it puts the clock forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return no events except for the loop's own wake-ups."""
        if timeout is None:
            raise RuntimeError("all wait, and for nothing")
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the seconds since the loop began."""
        return self._skipping.now


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual clock that begins at 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def seeded(seed: int | str) -> Random:
    """Return a random generator with a fixed seed."""
    return Random(seed)  # noqa: S311  # no secret
