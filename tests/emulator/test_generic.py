"""Plain resources through boto3: create, read, list, update, tag and delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.core.catalog import Resource, load_catalog
from taskgate_emulator.core.derived import build_arn, is_derivable
from taskgate_emulator.core.operations import error_names
from taskgate_server.aws.model import (
    enum_values,
)
from tests.emulator.resource_maker import Maker, valid

CREATABLE = [
    pytest.param(resource, id=resource.kind)
    for service in ("deadline", "omics")
    for resource in load_catalog(service).resources.values()
    if is_derivable(resource)
]


def named(resource: Resource, verb: str, ids: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that name a resource in one of its operations."""
    shape = resource.operations[verb].input_shape
    assert shape is not None
    uri = [n for n, m in shape.members.items() if m.serialization.get("location") == "uri"]
    path: str = resource.operations[verb].http["requestUri"]
    uri.sort(key=lambda n: path.index(f"{{{shape.members[n].serialization.get('name', n)}}}"))
    return dict(zip(uri, ids.values(), strict=False))


@pytest.mark.parametrize("resource", CREATABLE)
def test_resource_lifecycle(
    aws: Emulator, connect: Any, clock: ManualClock, resource: Resource
) -> None:
    maker = Maker(connect(aws, resource.service))
    ids, _ = maker.make(resource)
    if "Get" in resource.operations:
        got = maker.call(f"Get{resource.noun}", **named(resource, "Get", ids))
        shape = resource.operations["Get"].output_shape
        assert shape is not None
        assert {*got} >= {*shape.required_members}
    if "List" in resource.operations:
        rows = next(
            value
            for value in maker.call(
                resource.operations["List"].name, **listed(resource, ids)
            ).values()
            if isinstance(value, list)
        )
        assert any(ids[resource.labels[-1]] in row.values() for row in rows)
    if "Update" in resource.operations:
        update(maker, resource, ids)
    verb = "Delete" if "Delete" in resource.operations else "Disassociate"
    if verb in resource.operations:
        operation = resource.operations[verb]
        if resource.noun.endswith("Association"):
            stop(maker, resource, ids)
            clock.advance(1)
        maker.call(operation.name, **named(resource, verb, ids))
        if "ResourceNotFoundException" in error_names(operation):
            with pytest.raises(ClientError) as caught:
                maker.call(operation.name, **named(resource, verb, ids))
            assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
        else:
            maker.call(operation.name, **named(resource, verb, ids))


def listed(resource: Resource, ids: Mapping[str, Any]) -> dict[str, Any]:
    params = named(resource, "List", ids)
    shape = resource.operations["List"].input_shape
    assert shape is not None
    return params | {name: "SELF" for name in shape.required_members if name == "resourceOwner"}


def stop(maker: Maker, resource: Resource, ids: Mapping[str, Any]) -> None:
    operation = resource.operations["Update"]
    assert operation.input_shape is not None
    words = enum_values(operation.input_shape.members["status"])
    status = next(word for word in words if word.startswith("STOP_"))
    maker.call(operation.name, **named(resource, "Update", ids), status=status)


def update(maker: Maker, resource: Resource, ids: Mapping[str, Any]) -> None:
    operation = resource.operations["Update"]
    shape = operation.input_shape
    assert shape is not None
    required = {
        name: valid(shape.members[name])
        for name in shape.required_members
        if shape.members[name].serialization.get("location") != "uri"
    }
    word = next((name for name in ("description", "displayName") if name in shape.members), None)
    changed = {word: "Changed"} if word else {}
    maker.call(operation.name, **named(resource, "Update", ids), **required, **changed)
    got = maker.call(f"Get{resource.noun}", **named(resource, "Get", ids))
    if word and word in got:
        assert got[word] == "Changed"


@pytest.mark.parametrize(
    "kind", ["deadline.Farm", "deadline.Queue", "omics.RunGroup", "omics.Workflow"]
)
def test_tags_are_stored_by_arn(aws: Emulator, connect: Any, kind: str) -> None:
    service, noun = kind.split(".")
    resource = load_catalog(service).resources[noun]
    maker = Maker(connect(aws, service))
    ids, _ = maker.make(resource)
    arn = aws.edit(lambda account: build_arn(resource, tuple(ids.values()), account))
    before = maker.call("ListTagsForResource", resourceArn=arn)["tags"]
    maker.call("TagResource", resourceArn=arn, tags={"a": "1", "b": "2"})
    maker.call("UntagResource", resourceArn=arn, tagKeys=["a"])
    assert maker.call("ListTagsForResource", resourceArn=arn)["tags"] == {**before, "b": "2"}
    with pytest.raises(ClientError, match="does not exist"):
        maker.call("ListTagsForResource", resourceArn=arn[:-2] + "00")


def test_farm_with_contents_cannot_be_deleted(aws: Emulator, connect: Any) -> None:
    deadline = connect(aws, "deadline")
    farm = deadline.create_farm(displayName="Two", tags={"a": "b"})["farmId"]
    queue = deadline.create_queue(farmId=farm, displayName="Q")["queueId"]
    with pytest.raises(ClientError) as caught:
        deadline.delete_farm(farmId=farm)
    response: Any = caught.value.response
    # The model of DeleteFarm has no ConflictException.
    assert (response["Error"]["Code"], response["reason"]) == ("ValidationException", "OTHER")
    deadline.delete_queue(farmId=farm, queueId=queue)
    deadline.delete_farm(farmId=farm)
    assert len(deadline.list_farms()["farms"]) == 1


def test_parents_and_linked_resources_must_exist(aws: Emulator, connect: Any) -> None:
    deadline = connect(aws, "deadline")
    absent = "farm-" + "0" * 32
    with pytest.raises(ClientError) as caught:
        deadline.create_limit(
            farmId=absent, displayName="L", amountRequirementName="amount.x", maxCount=1
        )
    response: Any = caught.value.response
    assert (response["resourceType"], response["resourceId"]) == ("farm", absent)
    farm = deadline.create_farm(displayName="Two")["farmId"]
    with pytest.raises(ClientError, match="queue-0"):
        deadline.create_queue_fleet_association(
            farmId=farm, queueId="queue-" + "0" * 32, fleetId="fleet-" + "0" * 32
        )


def test_batch_get_returns_what_get_returns(
    aws: Emulator, connect: Any, job: dict[str, str]
) -> None:
    deadline = connect(aws, "deadline")
    absent = {**job, "jobId": "job-" + "0" * 32}
    response = deadline.batch_get_job(identifiers=[job, absent])
    assert [row["jobId"] for row in response["jobs"]] == [job["jobId"]]
    assert [row["code"] for row in response["errors"]] == ["ResourceNotFoundException"]


def test_repeated_token_creates_one_resource(aws: Emulator, connect: Any) -> None:
    omics = connect(aws, "omics")
    first, second = (omics.create_run_group(name="g", requestId="one") for _ in range(2))
    assert first["id"] == second["id"]
    assert len(omics.list_run_groups()["items"]) == 1
