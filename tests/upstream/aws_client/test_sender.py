"""Calls that end because no requester waits for them any more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from taskgate_server import errors
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import ClientResponse
from taskgate_server.upstream.aws_client.sender import AwsResponse, Sender
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import Priority, Share

ALICE, BOB = (Share(Priority.INTERACTIVE, name) for name in ("alice", "bob"))


@dataclass
class Hanging:
    """A client whose calls hang until they are released."""

    region: str = "us-west-2"
    endpoint: str = "aws.test"
    release: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def call(self, _: str, params: Mapping[str, Any]) -> ClientResponse:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ClientResponse(dict(params), "r-1", 2)


def sender_of(client: Hanging) -> Sender:
    async def get_client() -> Hanging:
        return client

    connection = SimpleNamespace(
        spec=DEADLINE, client=client, get_client=get_client, record_accepted=lambda *_: None
    )
    return Sender(cast("Connection", connection), clock=asyncio.get_running_loop().time)


def send(client: Hanging, requesters: Requesters) -> asyncio.Task[AwsResponse]:
    return asyncio.create_task(sender_of(client).send("GetFarm", {"farmId": "f"}, requesters))


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_call_goes_on_while_a_requester_waits() -> None:
    client, requesters = Hanging(), Requesters()
    requesters.join(ALICE, math.inf)
    requesters.join(BOB, math.inf)
    task = send(client, requesters)
    await settle()
    requesters.remove(ALICE)
    await settle()
    assert not task.done()
    client.release.set()
    assert (await task).value == {"farmId": "f"}
    assert client.cancelled == 0


async def test_a_call_is_cancelled_when_its_last_requester_leaves() -> None:
    client, requesters = Hanging(), Requesters()
    requesters.join(ALICE, math.inf)
    requesters.join(BOB, now() + 60)
    task = send(client, requesters)
    await settle()
    requesters.remove(ALICE)
    requesters.remove(BOB)
    await settle()
    assert client.cancelled == 1
    with pytest.raises(errors.TimeLimitError):
        await task


async def test_a_batch_is_cancelled_when_all_of_its_reads_are_abandoned() -> None:
    client = Hanging()
    reads = [Requesters.single(ALICE, math.inf), Requesters.single(BOB, math.inf)]
    task = send(client, Requesters.merge(reads, lambda: None))
    await settle()
    reads[0].remove(ALICE)
    await settle()
    assert client.cancelled == 0
    reads[1].remove(BOB)
    await settle()
    assert client.cancelled == 1
    with pytest.raises(errors.TimeLimitError):
        await task


async def test_a_call_ends_with_the_deadline_of_its_last_requester() -> None:
    client, requesters = Hanging(), Requesters()
    requesters.join(ALICE, now() + 0.02)
    task = send(client, requesters)
    await settle()
    requesters.join(BOB, now() + 0.1)
    began = now()
    with pytest.raises(errors.TimeLimitError):
        await task
    assert now() - began >= 0.09, "it ended with the first deadline"
    assert client.cancelled == 1


async def test_a_call_whose_time_is_over_is_not_sent() -> None:
    client = Hanging()
    client.release.set()
    with pytest.raises(errors.TimeLimitError):
        await send(client, Requesters.single(ALICE, now() - 1))


async def test_a_cancelled_task_cancels_the_call() -> None:
    client = Hanging()
    task = send(client, Requesters.single(ALICE, math.inf))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.cancelled == 1
