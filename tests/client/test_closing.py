"""Closed clients, closed streams, and streams that their user has left."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2
from taskgate_client import (
    CallError,
    Client,
    ClosedError,
    Snapshot,
    Timing,
    Violation,
    aio,
    connect,
)
from tests.support.fake_service import RUN
from tests.support.open_streams import OpenStreams, open_streams

WATCHES: Final = int(os.environ.get("LEAK_WATCHES") or 50)
NAME: Final = f"{RUN}/tasks/1"
CLOSE_SECONDS: Final = 1.0
"""It takes less than 0.1 s on an idle machine."""


@pytest.fixture
def server() -> Iterator[OpenStreams]:
    with open_streams() as server:
        yield server


@pytest.fixture
def client(server: OpenStreams) -> Iterator[Client]:
    with connect(server.address) as client:
        yield client


def leave(client: Client) -> None:
    for _ in client.watch_tasks(RUN):
        break


def fail(client: Client) -> None:
    with suppress(KeyError):
        for _ in client.watch_tasks(RUN):
            raise KeyError


def close(client: Client) -> None:
    watch = client.watch_tasks(RUN)
    next(watch)
    watch.close()
    assert list(watch) == []


def use_with(client: Client) -> None:
    with client.watch_tasks(RUN) as watch:
        next(watch)


def time_out(client: Client) -> None:
    watch = client.watch_tasks(RUN, timeout=0.05)
    with suppress(CallError):
        list(watch)


@pytest.mark.parametrize("idiom", [leave, fail, close, use_with, time_out])
def test_a_watch_that_is_left_ends_its_call(
    client: Client, server: OpenStreams, idiom: Callable[[Client], None]
) -> None:
    leave(client)
    threads = threading.active_count()
    for _ in range(WATCHES):
        idiom(client)
    assert server.becomes(0)
    assert server.opened > WATCHES / 2, "they were open"
    assert threading.active_count() <= threads


async def leave_async(client: aio.AsyncClient) -> None:
    async for _ in client.watch_tasks(RUN):
        break


async def fail_async(client: aio.AsyncClient) -> None:
    with suppress(KeyError):
        async for _ in client.watch_tasks(RUN):
            raise KeyError


async def close_async(client: aio.AsyncClient) -> None:
    watch = client.watch_tasks(RUN)
    await anext(watch)
    await watch.close()


async def use_with_async(client: aio.AsyncClient) -> None:
    async with client.watch_tasks(RUN) as watch:
        await anext(watch)


async def cancel_async(client: aio.AsyncClient) -> None:
    async def read() -> None:
        async for _ in client.watch_tasks(RUN):
            opened.set()

    opened = asyncio.Event()
    reading = asyncio.ensure_future(read())
    await opened.wait()
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def time_out_async(client: aio.AsyncClient) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            async for _ in client.watch_tasks(RUN):
                pass


@pytest.mark.parametrize(
    "idiom",
    [leave_async, fail_async, close_async, use_with_async, cancel_async, time_out_async],
)
async def test_a_watch_of_the_asyncio_client_that_is_left_ends_its_call(
    server: OpenStreams, idiom: Callable[[aio.AsyncClient], Awaitable[None]]
) -> None:
    async with aio.connect(server.address) as client:
        await leave_async(client)
        before = len(asyncio.all_tasks())
        for _ in range(WATCHES):
            await idiom(client)
        gc.collect()  # a timeout's exception may be in a cycle
        assert await asyncio.to_thread(server.becomes, 0)
        assert len(asyncio.all_tasks()) <= before
    assert server.opened > WATCHES / 2


def test_watches_share_a_thread(client: Client, server: OpenStreams) -> None:
    leave(client)
    before = threading.active_count()
    watches = [client.watch_tasks(RUN) for _ in range(20)]
    assert all(isinstance(next(watch), Snapshot) for watch in watches)
    assert threading.active_count() <= before + 2
    assert server.becomes(20)


USES: list[Callable[[Client], object]] = [
    lambda client: list(client.watch_tasks(RUN)),
    lambda client: client.wait_task(NAME),
    lambda client: client.get_task(NAME),
]


@pytest.mark.parametrize("use", USES)
def test_closing_a_client_ends_what_waits(
    client: Client, server: OpenStreams, use: Callable[[Client], object]
) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            use(client)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the test reports it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert server.becomes(1, 10)
    began = time.monotonic()
    client.close()
    thread.join(10)
    assert time.monotonic() - began < CLOSE_SECONDS
    assert [type(error) for error in errors] == [ClosedError]


@pytest.mark.parametrize("use", USES)
def test_a_closed_client_refuses_calls(client: Client, use: Callable[[Client], object]) -> None:
    client.close()
    with pytest.raises(ClosedError, match="the client is closed") as caught:
        use(client)
    assert caught.value.code is grpc.StatusCode.CANCELLED
    with pytest.raises(ClosedError):
        client.deadline.GetFarm(deadline_pb2.GetFarmRequest())
    client.close()


def test_closing_ends_the_pause_before_another_call() -> None:
    with open_streams() as first, connect(first.address) as client:
        watch = client.watch_tasks(RUN)
        next(watch)
        opened = first.opened
    with pytest.raises(ClosedError):
        next(watch)
    assert first.opened == opened


def test_closing_a_watch_during_a_pause_opens_no_call() -> None:
    with open_streams() as server:
        client = connect(server.address, timing=Timing(random=lambda: 1.0))  # pauses of 1 s or more
        watch = client.watch_tasks(RUN)
        next(watch)
    next(watch)  # reports that the connection is lost
    threading.Timer(0.2, watch.close).start()
    began = time.monotonic()
    assert list(watch) == []
    assert time.monotonic() - began < CLOSE_SECONDS
    client.close()


ASYNC_USES: list[Callable[[aio.AsyncClient], Awaitable[object]]] = [
    lambda client: anext(client.watch_tasks(RUN)),
    lambda client: client.wait_task(NAME),
    lambda client: client.get_task(NAME),
]


async def read_all(client: aio.AsyncClient) -> None:
    async for _ in client.watch_tasks(RUN):
        pass


@pytest.mark.parametrize("use", [read_all, *ASYNC_USES[1:]])
async def test_closing_an_asyncio_client_ends_what_waits(
    server: OpenStreams, use: Callable[[aio.AsyncClient], Any]
) -> None:
    client = aio.connect(server.address)
    using = asyncio.ensure_future(use(client))
    assert await asyncio.to_thread(server.becomes, 1, 10)
    began = time.monotonic()
    await client.close()
    with pytest.raises(ClosedError):
        await using
    assert time.monotonic() - began < CLOSE_SECONDS


@pytest.mark.parametrize("use", ASYNC_USES)
async def test_a_closed_asyncio_client_refuses_calls(
    server: OpenStreams, use: Callable[[aio.AsyncClient], Any]
) -> None:
    client = aio.connect(server.address)
    await client.close()
    with pytest.raises(ClosedError):
        await use(client)
    with pytest.raises(ClosedError):
        await client.deadline.GetFarm(deadline_pb2.GetFarmRequest())


def pickled(error: CallError) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301  # its own bytes


FULL: Final = CallError(
    *(grpc.StatusCode.NOT_FOUND, "gone", "REASON", "taskgate", {"key": "value"}),
    *([Violation("name", "is odd")], 1.5, ("task", "task-1"), "quota", "request"),
)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("error", [ClosedError.new(), FULL])
def test_errors_can_be_copied(error: CallError, again: Callable[[Any], Any]) -> None:
    copied = again(error)
    assert type(copied) is type(error)
    assert copied.__reduce__() == error.__reduce__()
    assert str(copied) == str(error)
