"""Batch operations that replace single reads, found in AWS's model."""

from __future__ import annotations

import pytest

from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.upstream.request import plan_batch

BATCHES = [
    (spec.name, single, batch) for spec in SERVICES for single, batch in spec.batches.items()
]


@pytest.mark.parametrize(("service", "single", "batch"), BATCHES)
def test_a_batch_read_returns_what_single_calls_return(
    service: str, single: str, batch: str
) -> None:
    plan = plan_batch(model.load_service(service), single, batch)
    assert plan is not None
    assert plan.max_items == 100
    items = [{member: f"{member}{index}" for member in plan.ids} for index in range(3)]
    assert plan.to_params(items) == {plan.request: items}
    response = {
        plan.errors: [{**items[0], "code": "ThrottlingException", "message": "slow down"}],
        str(plan.responses): [{**items[2], "createdBy": "me"}],
    }
    error, missing, item = plan.split(items, response)
    assert plan.token is None
    assert error == {"Error": {"Code": "ThrottlingException", "Message": "slow down"}}
    assert missing["Error"]["Code"] == "Unknown"
    assert item["createdBy"] == "me"


def test_every_suitable_batch_operation_is_used() -> None:
    fitting = []
    for spec in SERVICES:
        service = model.load_service(spec.name)
        for batch in service.operation_names:
            single = batch.removeprefix("Batch")
            if batch == single or single not in service.operation_names:
                continue
            if not single.startswith("Get"):
                continue
            fitting.append((spec.name, single, batch))
    assert sorted(fitting) == sorted(BATCHES)


def test_unsuitable_batch_operations_have_no_plan() -> None:
    assert plan_batch(model.load_service("deadline"), "GetTask", "BatchGetTaskOfOld") is None
    assert plan_batch(model.load_service("deadline"), "GetTask", "BatchGetJob") is None
