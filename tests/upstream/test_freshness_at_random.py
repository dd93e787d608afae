"""The freshness rule on a clock that the test sets: random reads, writes and upstream changes.

One client makes its calls through two replicas at random.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from tests.support.event_loop import settle
from tests.upstream.versioned_aws import FARM, Aws

TASKS = st.sampled_from(["t1", "t2", "t3"])
REPLICAS = st.integers(0, 1)
DEFAULT_MAX_AGE_SECONDS = 1.0
"""That of `Aws.gateway`."""
AGES = st.sampled_from([None, 0.0, 0.5, 1.0, 5.0, 50.0])
STEPS = st.one_of(
    st.tuples(st.just("read"), TASKS, st.tuples(REPLICAS, AGES)),
    st.tuples(st.just("write"), TASKS, REPLICAS),
    st.tuples(st.just("change"), TASKS, st.none()),
    st.tuples(st.just("advance"), st.none(), st.sampled_from([0.1, 0.4, 1.0, 7.0])),
    st.tuples(st.just("finish"), st.none(), st.integers(0, 5)),
)


@dataclass
class Read:
    """What a reader may expect."""

    task: str
    oldest: float
    version: int
    response: asyncio.Task[AwsResponse]


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_no_response_is_too_old_and_callers_see_their_own_writes(steps: list[Any]) -> None:
    asyncio.run(play(steps))


@dataclass
class Play:
    """The steps of one example, and what every reader may expect."""

    aws: Aws
    gateways: list[Gateway]
    reads: list[Read] = field(default_factory=list)
    writes: list[asyncio.Task[AwsResponse]] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    written_at: dict[str, float] = field(default_factory=dict)

    def read(self, task: str, how: tuple[int, float | None]) -> None:
        replica, age = how
        since_write = self.aws.now - self.written_at.get(task, -math.inf)
        options = CallOptions(max_age=age, since_write=since_write)
        call = self.gateways[replica].call("GetTask", {**FARM, "taskId": task}, options)
        response = asyncio.create_task(call)
        expected = self.written.get(task, 0)
        oldest = self.aws.now - (DEFAULT_MAX_AGE_SECONDS if age is None else age)
        self.reads.append(Read(task, oldest, expected, response))

    def write(self, task: str, replica: int) -> None:
        params = {**FARM, "taskId": task, "targetRunStatus": "READY"}
        call = self.gateways[replica].call("UpdateTask", params, CallOptions())
        self.writes.append(asyncio.create_task(call))

    def change(self, task: str, _: None) -> None:
        self.aws.versions[task] = self.aws.versions.get(task, 0) + 1

    def advance(self, _: None, seconds: float) -> None:
        self.aws.now += seconds

    def finish(self, _: None, index: int) -> None:
        if self.aws.calls:
            call = self.aws.calls[index % len(self.aws.calls)]
            self.aws.finish(index % len(self.aws.calls))
            if call.operation == "UpdateTask":
                # Its caller has the response: from now on every read must return the write.
                task = call.params["taskId"]
                self.written[task] = self.aws.versions[task]
                self.aws.now += 0.001  # a response takes time
                self.written_at[task] = self.aws.now


async def play(steps: list[Any]) -> None:
    aws = Aws()
    example = Play(aws, [aws.gateway(), aws.gateway()])
    for kind, task, number in steps:
        getattr(example, kind)(task, number)
        await settle()
    while aws.calls:
        aws.finish()
        await settle()
    for read in example.reads:
        value = read.response.result().value
        assert value["taskId"] == read.task
        assert value["sent_at"] >= read.oldest
        assert value["version"] >= read.version
    for gateway in example.gateways:
        await gateway.close()


async def respond(aws: Aws, gateway: Gateway, operation: str, **more: Any) -> AwsResponse:
    call = gateway.call(operation, {**FARM, "taskId": "t1"}, CallOptions(**more))
    task = asyncio.create_task(call)
    await settle()
    while aws.calls:
        aws.finish()
        await settle()
    return await task


async def test_a_caller_sees_its_own_write_whatever_max_age_is() -> None:
    aws = Aws()
    gateway = aws.gateway()
    await respond(aws, gateway, "GetTask")
    await respond(aws, gateway, "UpdateTask")
    assert (await respond(aws, gateway, "GetTask", max_age=50)).value["version"] == 1
    assert len(aws.sent) == 3


async def test_a_read_in_flight_during_a_write_is_not_shared_after_it() -> None:
    aws = Aws()
    gateway = aws.gateway()
    params = {**FARM, "taskId": "t1"}
    early = asyncio.create_task(gateway.call("GetTask", params, CallOptions(max_age=50)))
    await settle()
    write = asyncio.create_task(gateway.call("UpdateTask", params, CallOptions()))
    await settle()
    aws.finish(1)
    await write
    late = asyncio.create_task(gateway.call("GetTask", params, CallOptions(max_age=50)))
    await settle()
    while aws.calls:
        aws.finish()
        await settle()
    assert (await early).value["version"] == 0
    assert (await late).value["version"] == 1
    # The outdated response arrived first and must not be cached.
    assert (await respond(aws, gateway, "GetTask", max_age=50)).value["version"] == 1


async def test_an_abandoned_write_counts_when_it_ends() -> None:
    aws = Aws()
    gateway = aws.gateway()
    params = {**FARM, "taskId": "t1"}
    write = asyncio.create_task(gateway.call("UpdateTask", params, CallOptions()))
    await settle()
    write.cancel()
    await settle()
    await answered_read_before(aws, gateway)
    aws.finish()
    assert (await respond(aws, gateway, "GetTask", max_age=50)).value["version"] == 1


async def answered_read_before(aws: Aws, gateway: Gateway) -> None:
    call = gateway.call("GetTask", {**FARM, "taskId": "t1"}, CallOptions())
    task = asyncio.create_task(call)
    await settle()
    aws.finish(len(aws.calls) - 1)
    assert (await task).value["version"] == 0


def oracle(reads: list[tuple[float, float]]) -> int:
    """The fewest calls that serve reads of one thing, known beforehand, none of them late.

    A read at `t` that allows `age` needs a call in [t - age, t]; the fewest points that hit all
    such intervals are found by going through their ends in order.
    """
    calls, last = 0, float("-inf")
    for arrived, age in sorted(reads):
        if last < arrived - age:
            calls, last = calls + 1, arrived
    return calls


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 2.0]), st.sampled_from([0.0, 1.0, 5.0]))))
def test_reads_need_no_more_calls_than_the_optimum(steps: list[tuple[float, float]]) -> None:
    async def run() -> None:
        aws = Aws()
        gateway = aws.gateway()
        reads = []
        for pause, age in steps:
            aws.now += pause
            reads.append((aws.now, age))
            await respond(aws, gateway, "GetTask", max_age=age)
        assert len(aws.sent) <= oracle(reads)

    asyncio.run(run())


def failure(code: StatusCode) -> TaskgateError:
    return TaskgateError(code=code, message=code.name, reason=code.name, domain="aws")


@pytest.mark.parametrize(
    ("code", "calls"), [(StatusCode.NOT_FOUND, 1), (StatusCode.RESOURCE_EXHAUSTED, 2)]
)
async def test_not_found_is_cached_and_failures_are_not(code: StatusCode, calls: int) -> None:
    aws = Aws(failing=failure(code))
    gateway = aws.gateway()
    for _ in range(2):
        with pytest.raises(TaskgateError, match=code.name):
            await respond(aws, gateway, "GetTask")
    assert len(aws.sent) == calls


async def test_many_readers_become_few_calls() -> None:
    aws = Aws()
    gateway = aws.gateway(batch_slots=1)
    tasks = [
        asyncio.create_task(
            gateway.call("GetTask", {**FARM, "taskId": f"t{n % 150}"}, CallOptions())
        )
        for n in range(1000)
    ]
    await settle()
    while aws.calls:
        aws.finish()
        await settle()
    responses = await asyncio.gather(*tasks)
    assert [response.value["taskId"] for response in responses] == [
        f"t{n % 150}" for n in range(1000)
    ]
    assert len(aws.sent) <= 3


async def test_three_refused_batches_pause_batching() -> None:
    aws = Aws()
    gateway = aws.gateway(batch_slots=1)

    async def both() -> list[AwsResponse]:
        tasks = []
        for name in ("a", "b", "c"):
            params = {**FARM, "taskId": name}
            tasks.append(asyncio.create_task(gateway.call("GetTask", params, CallOptions())))
        await settle()
        while aws.calls:
            refused = aws.calls[0].operation == "BatchGetTask"
            aws.failing = failure(StatusCode.UNIMPLEMENTED) if refused else None
            aws.finish()
            await settle()
        return await asyncio.gather(*tasks)

    assert [response.value["taskId"] for response in await both()] == ["a", "b", "c"]
    for _ in range(4):
        aws.now += 1.1  # otherwise the cached response would be returned
        await both()
    assert [name for name, _ in aws.sent].count("BatchGetTask") == 3
    aws.now += 5
    await both()
    assert [name for name, _ in aws.sent].count("BatchGetTask") == 4
    await gateway.close()
