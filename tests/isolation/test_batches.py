"""One item that AWS refuses in a batch, or a batch operation that it lacks: who notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from taskgate_server import errors
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.batching.refusals import BatchRefusals
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.gateway import Gateway, Sharing
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.limiter import UnlimitedRate
from taskgate_server.upstream.retries import Backoff, Retries, RetryBudget

IDS = {"farmId": "f", "queueId": "q", "jobId": "j", "stepId": "s"}
ODD = "odd"
READS = 20

REFUSALS = {
    "denied": ("AccessDeniedException", 403),
    "invalid": ("ValidationException", 400),
    "unknown route": ("MissingAuthenticationTokenException", 403),
    "not found": ("404", 404),
    "unknown code": ("BrandNewException", 418),
    "server error": ("InternalServerErrorException", 500),
}


def origin(operation: str) -> errors.Origin:
    return errors.Origin(service="deadline", title="t", domain="d", operation=operation)


def denied_error() -> errors.TaskgateError:
    return errors.from_aws({"Error": {"Code": "AccessDeniedException"}}, origin("GetTask"))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Sender:
    """An AWS that refuses chosen items."""

    connection = SimpleNamespace(spec=DEADLINE)
    meter = None

    def __init__(self, refuses: Callable[[str, set[str]], str]) -> None:
        self.refuses = refuses
        self.calls: Counter[str] = Counter()

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,
        on_sent: Callable[[], None],
    ) -> AwsResponse:
        del requesters
        on_sent()
        await asyncio.sleep(0)  # as any call, so that others gather meanwhile
        self.calls[operation] += 1
        items = params.get("identifiers", [params])
        kind = self.refuses(operation, {item["taskId"] for item in items})
        if kind:
            code, status = REFUSALS[kind]
            response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise errors.from_aws(response, self.origin(operation))
        value = {"tasks": items} if operation == "BatchGetTask" else dict(params)
        return AwsResponse(value=value, request_id="r", observe_time=0.0)

    def origin(self, operation: str) -> errors.Origin:
        return origin(operation)


def gateway(sender: Sender, clock: Clock) -> Gateway:
    retries = Retries(RetryBudget(clock=clock), Backoff(max_attempts=1), clock=clock)
    paced = UpstreamPipeline(
        cast("Any", sender), UnlimitedRate(DEADLINE), CircuitBreaker(DEADLINE), retries
    )
    sharing = Sharing(
        default_max_age=0.0,
        max_cache_age=1.0,
        max_entries=0,
        max_bytes=0,
        batch_slots=1,
        batch_linger=0.0,
    )
    return Gateway(paced, sharing, default_timeout=60.0, clock=clock)


async def read_all(gate: Gateway, tasks: list[str]) -> dict[str, str]:
    """Read tasks at once; their outcomes by task."""

    async def read(task: str) -> str:
        try:
            answer = await gate.call("GetTask", {**IDS, "taskId": task}, CallOptions(timeout=10))
        except errors.TaskgateError as error:
            return error.reason
        assert answer.value["taskId"] == task
        return "OK"

    outcomes = await asyncio.gather(*(read(task) for task in tasks))
    return dict(zip(tasks, outcomes, strict=True))


@pytest.mark.parametrize("kind", REFUSALS)
async def test_refused_item_fails_only_its_own_caller(kind: str) -> None:
    clock = Clock()
    sender = Sender(lambda _, tasks: kind if ODD in tasks else "")
    gate = gateway(sender, clock)
    others = [f"t{number}" for number in range(READS)]
    for _ in range(10):
        seen = await read_all(gate, [*others[:10], ODD, *others[10:]])
        assert seen.pop(ODD) != "OK"
        assert seen == dict.fromkeys(others, "OK")
        clock.now += 1
    assert sender.calls["BatchGetTask"] >= 10, "all others go in batches"
    assert sender.calls["GetTask"] < 70, "the items were sent singly once"
    clock.now += 61
    await read_all(gate, [*others, ODD])
    assert sender.calls["BatchGetTask"] >= 11


async def test_caller_that_leaves_a_refused_batch_does_not_affect_others() -> None:
    def refuses(operation: str, _: set[str]) -> str:
        if operation == "BatchGetTask":
            reads[2].cancel()
        return "denied" if operation == "BatchGetTask" else ""

    gate = gateway(Sender(refuses), Clock())
    reads = [asyncio.create_task(read_all(gate, [f"t{number}"])) for number in range(5)]
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert isinstance(outcomes.pop(2), asyncio.CancelledError)
    assert outcomes == [{f"t{number}": "OK"} for number in (0, 1, 3, 4)]


@pytest.mark.parametrize("kind", [each for each in REFUSALS if each != "server error"])
async def test_refused_batch_operation_falls_back_to_single_calls(kind: str) -> None:
    clock = Clock()
    is_refused = True
    sender = Sender(lambda operation, _: kind if operation == "BatchGetTask" and is_refused else "")
    gate = gateway(sender, clock)
    tasks = [f"t{number}" for number in range(READS)]
    refused = []
    for _ in range(100):
        before = sender.calls["BatchGetTask"]
        assert set((await read_all(gate, tasks)).values()) == {"OK"}
        refused.append(sender.calls["BatchGetTask"] - before)
        clock.now += 1
    assert sum(refused) <= 8, "three in a row, then one in 5, 10, 20 and 40 s"
    assert sum(refused[-40:]) <= 1
    is_refused = False
    clock.now += 300
    await read_all(gate, tasks)
    before = sender.calls["GetTask"]
    await read_all(gate, tasks)
    assert sender.calls["GetTask"] - before <= 1


def test_only_consecutive_refusals_count_while_single_calls_succeed() -> None:
    clock = Clock()
    refusals = BatchRefusals(clock)
    denied = denied_error()
    for _ in range(20):
        refusals.record_refusal("GetTask", [None, denied, None])
    assert refusals.allows("GetTask")
    for _ in range(20):
        refusals.record_refusal("GetTask", [None, None])
        refusals.record_refusal("GetTask", [None, None])
        refusals.record_success("GetTask")
    assert refusals.allows("GetTask")
    for _ in range(3):
        refusals.record_refusal("GetTask", [None, None])
    assert not refusals.allows("GetTask")
    assert refusals.allows("GetStep")


def test_recorded_odd_items_are_bounded() -> None:
    refusals = BatchRefusals(Clock())
    denied = denied_error()
    for number in range(10_000):
        refusals.exclude_odd_items({number: denied})
    assert not refusals.allows("GetTask", 9_999)
    assert refusals.allows("GetTask", 1)
    assert len(refusals._odd_until) < 2_000
