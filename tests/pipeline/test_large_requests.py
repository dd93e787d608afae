"""Large requests: worked on in a thread, one of each requester at a time."""

from __future__ import annotations

import asyncio
import sys
import threading
from functools import partial

import pytest

from taskgate_server.large_requests import LARGE_BYTES, SWITCH_SECONDS, LargeRequests


def test_small_requests_stay_on_the_event_loop() -> None:
    large = LargeRequests()
    assert large.of("a", LARGE_BYTES - 1) is None
    large.close()


async def test_requesters_take_turns() -> None:
    large, order = LargeRequests(), list[str]()
    gate = threading.Event()

    async def work(requester: str) -> None:
        run = large.of(requester, LARGE_BYTES)
        assert run is not None
        await run(partial(order.append, requester))

    blocked = large.of("first", LARGE_BYTES)
    assert blocked is not None
    waiting: list[asyncio.Future[object]] = [asyncio.ensure_future(blocked(gate.wait))]
    await asyncio.sleep(0)
    waiting += [asyncio.ensure_future(work("many")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting.append(asyncio.ensure_future(work("one")))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*waiting)
    assert order.index("one") <= 1
    assert order.count("many") == 20
    large.close()


async def test_work_runs_in_another_thread_and_its_exceptions_propagate() -> None:
    large = LargeRequests()
    run = large.of("a", LARGE_BYTES)
    assert run is not None
    assert await run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await run(lambda: 1 // 0)
    assert await run(lambda: 1) == 1, "the turn has ended"
    large.close()


async def test_the_interpreter_is_shared_often_only_while_the_thread_works() -> None:
    large, usual = LargeRequests(), sys.getswitchinterval()
    run = large.of("a", LARGE_BYTES)
    assert run is not None
    assert await run(sys.getswitchinterval) == pytest.approx(SWITCH_SECONDS)
    with pytest.raises(ZeroDivisionError):
        await run(lambda: 1 // 0)
    assert sys.getswitchinterval() == usual
    large.close()
