"""Background tasks: a failure is logged, counted and followed by a restart, whatever it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from taskgate_server.background_tasks import (
    FIRST_PAUSE_SECONDS,
    HEALTHY_SECONDS,
    MAX_PAUSE_SECONDS,
    BackgroundTask,
    Supervision,
)

SECRET = "a-parameter-of-a-caller"


class World:
    """A supervision on a virtual clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.supervision = Supervision(self.sleep, lambda: self.now)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def keep(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self.supervision.keep_running(BackgroundTask("work", run))


class PanicException(BaseException):
    """Derives from BaseException alone, as pyo3's does."""


@pytest.mark.bug
@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        RecursionError(SECRET),
        PanicException(SECRET),
        asyncio.CancelledError(SECRET),
        BaseExceptionGroup(SECRET, [ValueError(SECRET), PanicException(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_any_failure_is_logged_counted_and_followed_by_a_restart(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    world, runs = World(), 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise error

    await world.keep(run)
    assert (runs, world.supervision.failures) == (4, {"work": 3})
    assert world.pauses == [FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2, FIRST_PAUSE_SECONDS * 4]
    leaves = 2 if isinstance(error, BaseExceptionGroup) else 1
    assert [each.message for each in caplog.records] == ["bug"] * 3 * leaves
    assert {each.__dict__["task"] for each in caplog.records} == {"work"}
    assert SECRET not in str([each.__dict__ for each in caplog.records])


@pytest.mark.bug
async def test_the_pause_is_bounded_and_starts_again_after_a_long_run() -> None:
    world, runs = World(), 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 8:
            world.now += HEALTHY_SECONDS
        if runs < 10:
            raise ValueError

    await world.keep(run)
    assert world.pauses == [1, 2, 4, 8, 16, 30, MAX_PAUSE_SECONDS, 1, 2]


async def test_cancellation_is_not_a_failure() -> None:
    world = World()
    started = asyncio.Event()

    async def run() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(world.keep(run))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.supervision.failures == {"work": 0}


async def test_unsupervised_failure_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A control: what `asyncio.ensure_future` alone does with a task that fails."""

    async def run() -> None:
        raise ValueError

    task = asyncio.ensure_future(run())
    await asyncio.wait({task})
    assert not caplog.records
    assert isinstance(task.exception(), ValueError)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
async def test_exceptions_that_end_the_process_are_raised(error: BaseException) -> None:
    async def run() -> None:
        raise error

    coroutine = World().keep(run)
    with pytest.raises(type(error)):
        coroutine.send(None)
