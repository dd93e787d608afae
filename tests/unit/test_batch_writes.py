"""Batch operations that stand in for single writes, found in AWS's model; and who is told."""

from __future__ import annotations

import pytest

from taskgate_server.aws import model
from taskgate_server.aws.services import SERVICES
from taskgate_server.upstream.batched_writes import Writes
from taskgate_server.upstream.batches import NoBatchError, plan_batch_write

BATCHES = [
    (spec.name, single, batch) for spec in SERVICES for single, batch in spec.batch_writes.items()
]


@pytest.mark.parametrize(("service", "single", "batch"), BATCHES)
def test_a_batch_does_all_that_the_single_call_does(service: str, single: str, batch: str) -> None:
    plan = plan_batch_write(model.load_service(service), single, batch)
    assert plan.max_items == 100
    items = [{member: f"{member}{index}" for member in plan.ids} for index in range(2)]
    assert plan.token is not None
    assert plan.to_params(items, "t") == {plan.request: items, plan.token: "t"}
    answer = {plan.errors: [{**items[1], "code": "ConflictException", "message": "no"}]}
    assert plan.split(items, answer) == [
        None,
        {"Error": {"Code": "ConflictException", "Message": "no"}},
    ]


def test_a_model_without_it() -> None:
    service = model.load_service("deadline")
    with pytest.raises(NoBatchError):
        plan_batch_write(service, "UpdateTask", "BatchUpdateTaskOfOld")
    with pytest.raises(NoBatchError):
        plan_batch_write(service, "UpdateTask", "BatchGetTask")


def test_tokens_follow_from_the_callers_and_from_the_items() -> None:
    def writes() -> Writes:
        items = [{"taskId": f"t{index}"} for index in range(4)]
        return Writes(
            operation="UpdateTask",
            items=items,
            token="mine",
            give_up_at=0.0,
            written=lambda _: None,
        )

    one, again = writes(), writes()
    assert one.token_for(range(4), 1) == "mine"
    parts: list[tuple[list[int], int]] = [([0, 1], 1), ([2, 3], 1), ([0, 1], 2), ([0], 1)]
    tokens = [one.token_for(part, attempt) for part, attempt in parts]
    assert tokens == [again.token_for(part, attempt) for part, attempt in parts]
    assert len({*tokens, "mine"}) == 5
