"""The way to an AWS service: made, refused, made anew, with a clock that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc
import pytest
from botocore.exceptions import NoCredentialsError

from taskgate_server import errors
from taskgate_server.aws.services import OMICS
from taskgate_server.upstream.clients import AwsClient
from taskgate_server.upstream.connection import Connection


class Pauses:
    """A sleep that ends when the test says so, and remembers how long it was to be."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._begun: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        over = asyncio.Event()
        self._begun.put_nowait(over)
        await over.wait()

    async def end(self) -> None:
        (await self._begun.get()).set()


def client() -> AwsClient:
    return AwsClient(client=cast("Any", None), methods={}, region="us-west-2", endpoint="aws.test")


def refused() -> errors.TaskgateError:
    return errors.TaskgateError(
        code=grpc.StatusCode.UNAVAILABLE, message="refused", reason="UPSTREAM_CREDENTIALS"
    )


class Maker:
    """Makes clients, or fails, in the order given."""

    def __init__(self, *results: AwsClient | Exception) -> None:
        self.results = list(results)

    def __call__(self) -> AwsClient:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


async def running(
    make: Callable[[], AwsClient], pauses: Pauses, executor: ThreadPoolExecutor
) -> tuple[Connection, asyncio.Task[None]]:
    connection = Connection(OMICS, make, executor, sleep=pauses)
    return connection, asyncio.create_task(connection.run())


async def test_without_credentials_it_tries_again_with_growing_pauses() -> None:
    made = client()
    pauses = Pauses()
    with ThreadPoolExecutor(1) as executor:
        maker = Maker(*[NoCredentialsError() for _ in range(7)], made)
        connection, task = await running(maker, pauses, executor)
        with pytest.raises(errors.TaskgateError, match="no AWS credentials"):
            await connection.ready()
        for tries in range(1, 8):
            await pauses.end()
            await connection.changed(tries)
        assert await connection.ready() is made
        assert connection.error is None
        assert pauses.asked == [1, 2, 4, 8, 16, 30, 30]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_refused_client_is_replaced_once() -> None:
    first, second = client(), client()
    pauses = Pauses()
    with ThreadPoolExecutor(1) as executor:
        connection, task = await running(Maker(first, second), pauses, executor)
        assert await connection.ready() is first
        connection.lose(first, refused())
        with pytest.raises(errors.TaskgateError, match="refused"):
            await connection.ready()
        seen = await connection.changed(1)
        await pauses.end()
        await connection.changed(seen)
        assert await connection.ready() is second
        connection.lose(first, refused())  # a late answer to a call with the old client
        assert connection.client is second
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_client_on_demand_is_made_for_the_first_who_asks() -> None:
    maker = Maker(client())
    with ThreadPoolExecutor(1) as executor:
        connection = Connection(OMICS, maker, executor, on_demand=True)
        running = asyncio.ensure_future(connection.run())
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(maker.results) == 1
        assert await connection.ready() == client()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
