"""Every filter of every List operation of Deadline Cloud has an effect: the model is the list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name

from taskgate_emulator import ManualClock
from taskgate_emulator.core.catalog import load_catalog, rows_member
from taskgate_emulator.seeds.ids import FARM_ID, FLEET_ID, JOB_ID, QUEUE_ID
from taskgate_server.aws.model import OperationModel, enum_values, load_service, operations
from tests.emulator.deadline_jobs import advance
from tests.emulator.resource_maker import Maker

PAGING = {"nextToken", "maxResults"}
IDS = {"farmId": FARM_ID, "queueId": QUEUE_ID, "fleetId": FLEET_ID, "jobId": JOB_ID}
ABSENT = {
    "principalId": "00000000-0000-0000-0000-000000000000",
    "taskId": f"task-{'0' * 32}-0",
    "displayName": "Absent",
    **{f"{noun}Id": f"{noun}-{'0' * 32}" for noun in ("queue", "fleet", "limit", "session")},
}
"""By filter, a valid value that no resource has."""


def filters_of(operation: OperationModel) -> Iterator[str]:
    shape = operation.input_shape
    for name, member in (shape.members if shape else {}).items():
        if member.serialization.get("location") != "uri" and name not in PAGING:
            yield name


FILTERED = [
    pytest.param(operation, name, id=f"{operation.name}-{name}")
    for operation in operations(load_service("deadline"))
    if operation.name.startswith("List") and operation.name != "ListMemberships"  # it returns 501
    for name in filters_of(operation)
]


def rows(deadline: Any, operation: OperationModel, **filters: str) -> list[dict[str, Any]]:
    shape, found = operation.input_shape, rows_member(operation)
    assert shape is not None
    assert found is not None
    path = {
        name: IDS[name]
        for name, member in shape.members.items()
        if member.serialization.get("location") == "uri"
    }
    response = getattr(deadline, xform_name(operation.name))(**path, **filters)
    items: list[dict[str, Any]] = response[found[0]]
    return items


@pytest.mark.parametrize(("operation", "name"), FILTERED)
def test_filter_has_an_effect(
    deadline: Any, clock: ManualClock, operation: OperationModel, name: str
) -> None:
    Maker(deadline).make_in(load_catalog("deadline").resources["Budget"], IDS)
    limit = deadline.create_limit(
        farmId=FARM_ID, displayName="L", amountRequirementName="amount.x", maxCount=1
    )["limitId"]
    deadline.create_queue_limit_association(farmId=FARM_ID, queueId=QUEUE_ID, limitId=limit)
    advance(deadline, clock, 20)
    everything = rows(deadline, operation)
    assert everything
    shape = operation.input_shape
    assert shape is not None
    words = enum_values(shape.members[name])
    if words:
        parts = [rows(deadline, operation, **{name: word}) for word in words]
        assert sum(map(len, parts)) == len(everything)
        for word, part in zip(words, parts, strict=True):
            assert {row[name] for row in part} <= {word}
        return
    known = next((row[name] for row in everything if name in row), None)
    if known is not None:
        some = rows(deadline, operation, **{name: known})
        assert some == [row for row in everything if row[name] == known]
    assert rows(deadline, operation, **{name: ABSENT[name]}) == []


def test_members_find_what_they_may_use(deadline: Any) -> None:
    mara = "5b1c2d3e-4f60-4e6f-9a70-8c5f0b2a41d3"
    member = {"principalId": mara, "principalType": "USER", "identityStoreId": "d-1234567890"}
    assert deadline.list_queues(farmId=FARM_ID, principalId=mara)["queues"] == []
    deadline.associate_member_to_queue(
        farmId=FARM_ID, queueId=QUEUE_ID, membershipLevel="VIEWER", **member
    )
    assert len(deadline.list_queues(farmId=FARM_ID, principalId=mara)["queues"]) == 1
    # Membership of the queue includes its jobs, but not the farm.
    jobs = deadline.list_jobs(farmId=FARM_ID, queueId=QUEUE_ID, principalId=mara)["jobs"]
    assert [job["jobId"] for job in jobs] == [JOB_ID]
    assert deadline.list_farms(principalId=mara)["farms"] == []
