"""How many calls the gateway has in flight, and what becomes of those that all have left."""

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
    assert len(gateway.in_flight_calls) == 3
    for task in impatient:
        task.cancel()
    await settle()
    assert len(gateway.in_flight_calls) == 1
    late = ask(gateway, "t2")
    await settle()
    await finish_all(aws, 0.1)
    await asyncio.gather(*busy, *late)
    assert [name for name, _ in aws.sent] == ["GetTask", "GetTask"]
    assert len(gateway.in_flight_calls) == 0
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
    question = gateway.make_request("GetTask", {**FARM, "taskId": "t1"})
    assert gateway.cached_response(question, 5.0) is None
    reading = asyncio.create_task(gateway.fetch(question, CallOptions(max_age=5.0)))
    await settle()
    await finish_all(aws, 0.1)
    answer = await reading
    answer.forms["form"] = b"bytes"
    kept = gateway.cached_response(question, 5.0)
    assert kept is not None
    assert kept.forms == {"form": b"bytes"}
    aws.now += 6
    assert gateway.cached_response(question, 5.0) is None
    await gateway.close()


async def test_a_batch_has_equal_parts_for_its_requesters() -> None:
    aws = Aws()
    gateway = aws.gateway(batch_slots=1)
    first = ask(gateway, "t0", requester="a")
    await settle()
    flood = ask(gateway, *(f"a{number}" for number in range(250)), requester="a")
    await settle()
    others = ask(gateway, *(f"b{number}" for number in range(30)), requester="b")
    shared = ask(gateway, "a249", requester="c")
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


async def test_a_flood_of_one_operation_does_not_keep_another_requester_from_being_sent() -> None:
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


async def test_a_read_that_failed_in_a_batch_and_that_all_have_left_is_not_sent_again() -> None:
    aws = Aws(failing_tasks=frozenset({"t2"}), max_attempts=3)
    gateway = aws.gateway(batch_slots=1)
    first = ask(gateway, "t1")
    await settle()
    gone, kept = ask(gateway, "t2", "t3")
    await settle()
    aws.finish()
    await settle()
    gone.cancel()
    await settle()
    aws.finish()
    await settle()
    await asyncio.gather(*first, kept)
    assert [name for name, _ in aws.sent] == ["GetTask", "BatchGetTask"]
    assert len(gateway.in_flight_calls) == 0, "no call joins it any more"
    [late] = ask(gateway, "t2")
    await settle()
    await finish_all(aws, 0.1)
    assert (await late).value["taskId"] == "t2"
    await gateway.close()
