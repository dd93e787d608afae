"""Blocking code on the event loop."""

from __future__ import annotations

import asyncio

import pytest

from taskgate_server.upstream.aws_client import greenlets


def double(value: int) -> int:
    """Return twice a number, as blocking code that waits twice."""
    greenlets.wait(asyncio.sleep(0))
    return greenlets.wait(asyncio.sleep(0, value)) * 2


async def test_code_returns_what_it_waited_for() -> None:
    assert await greenlets.run(double, 21) == 42


async def test_several_codes_run_at_the_same_time() -> None:
    results = await asyncio.gather(*(greenlets.run(double, number) for number in range(100)))
    assert results == [2 * number for number in range(100)]


async def test_code_that_never_waits_returns_at_once() -> None:
    assert await greenlets.run(lambda: "here") == "here"


async def test_code_raises_and_catches_errors() -> None:
    async def fail() -> None:
        raise ValueError("no")

    def catch() -> str:
        try:
            greenlets.wait(fail())
        except ValueError as error:
            return f"caught {error}"
        return "nothing"

    assert await greenlets.run(catch) == "caught no"
    with pytest.raises(ValueError, match="no"):
        await greenlets.run(lambda: greenlets.wait(fail()))


async def test_cancelling_cancels_what_the_code_waits_for() -> None:
    waiting = asyncio.get_running_loop().create_future()
    cleaned: list[str] = []

    def code() -> None:
        try:
            greenlets.wait(waiting)
        finally:
            cleaned.append("yes")

    task = asyncio.create_task(greenlets.run(code))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting.cancelled()
    assert cleaned == ["yes"]


async def test_waiting_elsewhere_is_an_error() -> None:
    future = asyncio.get_running_loop().create_future()
    with pytest.raises(RuntimeError, match="outside of run"):
        greenlets.wait(future)
