"""How many calls the gateway has in flight, and what becomes of those that all have left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode

from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from tests.unit.test_freshness import FARM, Aws, settle


def ask(gateway: Gateway, *names: str, **more: Any) -> list[asyncio.Task[Any]]:
    options = CallOptions(**{"max_age": 0.0, **more})
    return [
        asyncio.create_task(gateway.call("GetTask", {**FARM, "taskId": name}, options))
        for name in names
    ]


async def finish_all(aws: Aws, seconds: float) -> None:
    while aws.calls:
        aws.now += seconds
        aws.finish()
        await settle()


@pytest.mark.parametrize(("seconds", "in_flight"), [(0.001, 1), (0.03, 2)])
async def test_a_quick_upstream_gets_one_batch_at_a_time(seconds: float, in_flight: int) -> None:
    aws = Aws()
    gateway = aws.gateway()
    first = ask(gateway, "t1")
    await settle()
    await finish_all(aws, seconds)
    reads = []
    for number in range(6):
        reads += ask(gateway, f"u{number}")
        await settle()
    assert len(aws.calls) == in_flight
    await finish_all(aws, seconds)
    answers = await asyncio.gather(*first, *reads)
    assert [answer.value["taskId"] for answer in answers[1:]] == [f"u{n}" for n in range(6)]
    await gateway.close()


async def test_a_read_that_all_have_left_before_it_was_sent_leaves_nothing_behind() -> None:
    aws = Aws()
    gateway = aws.gateway(batch_slots=1)
    busy = ask(gateway, "t1")
    await settle()
    impatient = ask(gateway, "t2", "t2", "t3")
    await settle()
    assert len(gateway.flights) == 3
    for task in impatient:
        task.cancel()
    await settle()
    assert len(gateway.flights) == 1
    late = ask(gateway, "t2")
    await settle()
    await finish_all(aws, 0.1)
    await asyncio.gather(*busy, *late)
    assert [name for name, _ in aws.sent] == ["GetTask", "GetTask"]
    assert len(gateway.flights) == 0
    await gateway.close()


async def test_time_is_up_for_one_and_not_for_the_other() -> None:
    aws = Aws()
    gateway = aws.gateway()
    [hasty] = ask(gateway, "t1", timeout=0.01)
    [patient] = ask(gateway, "t1", timeout=60.0)
    await settle()
    with pytest.raises(TaskgateError) as raised:
        await hasty
    assert raised.value.code is StatusCode.DEADLINE_EXCEEDED
    await finish_all(aws, 0.1)
    assert (await patient).value["taskId"] == "t1"
    assert len(aws.sent) == 1
    await gateway.close()


async def test_an_answer_is_made_into_bytes_once_and_kept_with_it() -> None:
    aws = Aws()
    gateway = aws.gateway()
    question = gateway.question("GetTask", {**FARM, "taskId": "t1"})
    assert gateway.kept(question, 5.0) is None
    reading = asyncio.create_task(gateway.ask(question, CallOptions(max_age=5.0)))
    await settle()
    await finish_all(aws, 0.1)
    answer = await reading
    answer.forms["form"] = b"bytes"
    kept = gateway.kept(question, 5.0)
    assert kept is not None
    assert kept.forms == {"form": b"bytes"}
    aws.now += 6
    assert gateway.kept(question, 5.0) is None
    await gateway.close()
