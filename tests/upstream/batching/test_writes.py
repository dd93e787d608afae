"""Batch operations that replace single writes, found in AWS's model; outcomes of writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from grpc import StatusCode

from taskgate_server.aws import model
from taskgate_server.errors import Origin
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.services.registry import SERVICES
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.batching.writes import Writes
from taskgate_server.upstream.circuit_breaker import CircuitBreaker
from taskgate_server.upstream.gateway import Gateway, Sharing
from taskgate_server.upstream.in_flight import Requesters
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.pipeline import UpstreamPipeline
from taskgate_server.upstream.rate_limit.limiter import UnlimitedRate
from taskgate_server.upstream.request import plan_batch
from taskgate_server.upstream.retries import Retries, RetryBudget

BATCHES = [
    (spec.name, single, batch) for spec in SERVICES for single, batch in spec.batch_writes.items()
]


@pytest.mark.parametrize(("service", "single", "batch"), BATCHES)
def test_a_batch_write_takes_what_single_calls_take(service: str, single: str, batch: str) -> None:
    plan = plan_batch(model.load_service(service), single, batch)
    assert plan is not None
    assert plan.max_items == 100
    items = [{member: f"{member}{index}" for member in plan.ids} for index in range(2)]
    assert plan.token is not None
    assert plan.to_params(items, "t") == {plan.request: items, plan.token: "t"}
    response = {plan.errors: [{**items[1], "code": "ConflictException", "message": "no"}]}
    assert plan.split(items, response) == [
        {},
        {"Error": {"Code": "ConflictException", "Message": "no"}},
    ]


def test_unsuitable_batch_writes_have_no_plan() -> None:
    service = model.load_service("deadline")
    assert plan_batch(service, "UpdateTask", "BatchUpdateTaskOfOld") is None
    assert plan_batch(service, "UpdateTask", "BatchGetTask") is None


def test_tokens_derive_from_the_callers_token_and_the_items() -> None:
    def writes() -> Writes:
        items = [{"taskId": f"t{index}"} for index in range(4)]
        return Writes(
            pipeline=cast("Any", None),
            refusals=cast("Any", None),
            plan=cast("Any", None),
            operation="UpdateTask",
            items=items,
            token="mine",
            requesters=Requesters(),
            on_written=lambda *_: None,
            outcomes=[None] * 4,
        )

    one, again = writes(), writes()
    assert one.token_for(range(4), 1) == "mine"
    parts: list[tuple[list[int], int]] = [([0, 1], 1), ([2, 3], 1), ([0, 1], 2), ([0], 1)]
    tokens = [one.token_for(part, attempt) for part, attempt in parts]
    assert tokens == [again.token_for(part, attempt) for part, attempt in parts]
    assert len({*tokens, "mine"}) == 5


@dataclass
class Sender:
    """Responds to as many batches as it has responses, and then to none."""

    responses: list[dict[str, Any]]
    connection = SimpleNamespace(spec=DEADLINE)
    meter = None

    async def send(
        self,
        operation: str,
        params: Mapping[str, Any],
        requesters: Requesters,
        on_sent: Callable[[], None],
    ) -> AwsResponse:
        del operation, params, requesters
        on_sent()
        if not self.responses:
            await asyncio.Event().wait()
        return AwsResponse(value=self.responses.pop(0), request_id="r", observe_time=0.0)

    def origin(self, operation: str, _: object = None) -> Origin:
        return Origin(service="deadline", title="t", domain="d", operation=operation)


def gateway(sender: Sender) -> Gateway:
    paced = UpstreamPipeline(
        cast("Any", sender),
        UnlimitedRate(DEADLINE),
        CircuitBreaker(DEADLINE),
        Retries(RetryBudget()),
    )
    sharing = Sharing(
        default_max_age=0.0,
        max_cache_age=1.0,
        max_entries=0,
        max_bytes=0,
        batch_slots=1,
        batch_linger=0.0,
    )
    return Gateway(paced, sharing, default_timeout=60.0)


async def test_writes_before_the_timeout_are_reported_as_done() -> None:
    items = [{"taskId": str(index), "targetRunStatus": "CANCELED"} for index in range(250)]
    refused = {"errors": [{"taskId": "3", "code": "ConflictException", "message": "no"}]}
    sender = Sender([refused, {}])
    outcomes = await gateway(sender).write_many(
        "UpdateTask", items, token="t", options=CallOptions(timeout=0.05)
    )
    codes = [outcome.code if outcome is not None else None for outcome in outcomes]
    assert codes[3] is StatusCode.FAILED_PRECONDITION
    assert [*codes[:3], *codes[4:200]] == [None] * 199
    assert codes[200:] == [StatusCode.DEADLINE_EXCEEDED] * 50
