"""Time limits of many waits at once."""

from __future__ import annotations

import asyncio

import pytest

from taskgate_server.pipeline.idle import IdleLimit


async def test_a_wait_that_ends_in_time_returns_its_value() -> None:
    assert await IdleLimit(0.05).wait(asyncio.sleep(0, "value")) == "value"


async def test_a_wait_that_takes_too_long_ends() -> None:
    limit = IdleLimit(0.05)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await limit.wait(asyncio.Event().wait())
    assert 0.05 <= asyncio.get_running_loop().time() - began < 1
    assert await limit.wait(asyncio.sleep(0, "next")) == "next"


async def test_each_wait_has_its_own_limit() -> None:
    limit, event = IdleLimit(0.2), asyncio.Event()
    waits = [asyncio.ensure_future(limit.wait(event.wait())) for _ in range(3)]
    await asyncio.sleep(0.1)
    event.set()
    assert await asyncio.gather(*waits) == [True, True, True]
    assert not limit._since


async def test_a_cancelled_wait_is_cancelled() -> None:
    limit = IdleLimit(10)
    wait = asyncio.ensure_future(limit.wait(asyncio.Event().wait()))
    await asyncio.sleep(0)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert not limit._since


async def test_an_error_passes_through() -> None:
    async def fail() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        await IdleLimit(1).wait(fail())
