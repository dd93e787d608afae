"""The calls that the gateway has in flight, and abandoned ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from grpc import StatusCode

from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from tests.support.event_loop import settle
from tests.upstream.versioned_aws import FARM, Aws


def fetch(gateway: Gateway, *names: str, **more: Any) -> list[asyncio.Task[Any]]:
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
async def test_a_fast_upstream_gets_one_batch_at_a_time(seconds: float, in_flight: int) -> None:
    aws = Aws()
    gateway = aws.gateway()
    first = fetch(gateway, "t1")
    await settle()
    await finish_all(aws, seconds)
    reads = []
    for number in range(6):
        reads += fetch(gateway, f"u{number}")
        await settle()
    assert len(aws.calls) == in_flight
    await finish_all(aws, seconds)
    responses = await asyncio.gather(*first, *reads)
    assert [response.value["taskId"] for response in responses[1:]] == [f"u{n}" for n in range(6)]
    await gateway.close()


async def test_an_abandoned_read_leaves_nothing_behind() -> None:
    aws = Aws()
    gateway = aws.gateway(batch_slots=1)
    busy = fetch(gateway, "t1")
    await settle()
    impatient = fetch(gateway, "t2", "t2", "t3")
    await settle()
    assert len(gateway.in_flight_calls) == 3
    for task in impatient:
        task.cancel()
    await settle()
    assert len(gateway.in_flight_calls) == 1
    late = fetch(gateway, "t2")
    await settle()
    await finish_all(aws, 0.1)
    await asyncio.gather(*busy, *late)
    assert [name for name, _ in aws.sent] == ["GetTask", "GetTask"]
    assert len(gateway.in_flight_calls) == 0
    await gateway.close()


async def test_requesters_of_a_call_time_out_separately() -> None:
    aws = Aws()
    gateway = aws.gateway()
    [hasty] = fetch(gateway, "t1", timeout=0.01)
    [patient] = fetch(gateway, "t1", timeout=60.0)
    await settle()
    with pytest.raises(TaskgateError) as raised:
        await hasty
    assert raised.value.code is StatusCode.DEADLINE_EXCEEDED
    await finish_all(aws, 0.1)
    assert (await patient).value["taskId"] == "t1"
    assert len(aws.sent) == 1
    await gateway.close()


async def test_serialized_responses_are_cached_with_the_response() -> None:
    aws = Aws()
    gateway = aws.gateway()
    request = gateway.make_request("GetTask", {**FARM, "taskId": "t1"})
    assert gateway.cached_response(request, 5.0) is None
    reading = asyncio.create_task(gateway.fetch(request, CallOptions(max_age=5.0)))
    await settle()
    await finish_all(aws, 0.1)
    response = await reading
    response.forms["form"] = b"bytes"
    cached = gateway.cached_response(request, 5.0)
    assert cached is not None
    assert cached.forms == {"form": b"bytes"}
    aws.now += 6
    assert gateway.cached_response(request, 5.0) is None
    await gateway.close()


async def test_a_batch_has_equal_parts_for_its_requesters() -> None:
    aws = Aws()
    gateway = aws.gateway(batch_slots=1)
    first = fetch(gateway, "t0", requester="a")
    await settle()
    flood = fetch(gateway, *(f"a{number}" for number in range(250)), requester="a")
    await settle()
    others = fetch(gateway, *(f"b{number}" for number in range(30)), requester="b")
    shared = fetch(gateway, "a249", requester="c")
    await settle()
    aws.finish()
    await settle()
    [batch] = aws.calls
    names = [item["taskId"] for item in batch.params["identifiers"]]
    assert Counter(name[0] for name in names) == {"a": 70, "b": 30}
    assert "a249" in names[:3], "it waits in the line of c, too"
    assert gateway.batched_reads.waiting() == {"GetTask": 180}
    for task in flood[:200]:
        task.cancel()
    await settle()
    assert gateway.batched_reads.waiting()["GetTask"] == 49
    await finish_all(aws, 0.1)
    await asyncio.gather(*first, *flood[200:], *others, *shared)
    assert (gateway.batched_reads.waiting(), len(gateway.in_flight_calls)) == ({"GetTask": 0}, 0)
    await gateway.close()


async def test_a_flood_does_not_delay_another_requester() -> None:
    aws = Aws()
    gateway = aws.gateway(max_in_flight=2)

    def list_tasks(requester: str, count: int) -> list[asyncio.Task[Any]]:
        options = CallOptions(max_age=0.0, requester=requester)
        return [
            asyncio.create_task(gateway.call("ListTasks", {**FARM, "taskId": str(n)}, options))
            for n in range(count)
        ]

    flood = list_tasks("a", 100)
    await settle()
    update = {**FARM, "taskId": "t", "targetRunStatus": "READY"}
    write = asyncio.create_task(gateway.call("UpdateTask", update, CallOptions(requester="b")))
    await settle()
    assert len(aws.calls) == 2
    aws.finish()
    await settle()
    aws.finish()
    await settle()
    assert [call.operation for call in aws.calls] == ["ListTasks", "UpdateTask"]
    flood[0].cancel()
    for task in flood:
        task.cancel()
    await settle()
    await finish_all(aws, 0.1)
    await write
    assert [name for name, _ in aws.sent].count("ListTasks") == 3, "the others were not sent"
    await gateway.close()


async def test_an_abandoned_read_that_failed_in_a_batch_is_not_retried() -> None:
    aws = Aws(failing_tasks=frozenset({"t2"}), max_attempts=3)
    gateway = aws.gateway(batch_slots=1)
    first = fetch(gateway, "t1")
    await settle()
    abandoned, other = fetch(gateway, "t2", "t3")
    await settle()
    aws.finish()
    await settle()
    abandoned.cancel()
    await settle()
    aws.finish()
    await settle()
    await asyncio.gather(*first, other)
    assert [name for name, _ in aws.sent] == ["GetTask", "BatchGetTask"]
    assert len(gateway.in_flight_calls) == 0, "no later request joins it"
    [late] = fetch(gateway, "t2")
    await settle()
    await finish_all(aws, 0.1)
    assert (await late).value["taskId"] == "t2"
    await gateway.close()
