"""Errors name the resource that the request names, where AWS does not."""

from __future__ import annotations

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate_client import CallError, Client
from taskgate_emulator import Emulator
from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.upstream.request import resource_name

ROUTES = [
    pytest.param(spec.name, operation, id=f"{spec.name}-{operation.name}")
    for spec in SERVICES
    for operation in model.operations(model.load_service(spec.name))
    if "{" in operation.http["requestUri"].partition("?")[0]
]


@pytest.mark.parametrize(("service", "operation"), ROUTES)
def test_each_id_of_the_route_is_in_the_name(service: str, operation: model.OperationModel) -> None:
    shape = operation.input_shape
    assert shape is not None
    params = {member: f"{member}-id" for member in shape.required_members}
    name = resource_name(service, operation.name, params)
    for member, each in shape.members.items():
        if each.serialization.get("location") == "uri":
            assert f"{member}-id" in name.split("/")


@pytest.mark.parametrize(
    ("operation", "params", "name"),
    [
        ("GetRun", {"id": "7"}, "run/7"),
        ("GetRunTask", {"id": "7", "taskId": "8"}, "run/7/task/8"),
        ("CancelRun", {"id": "7"}, "run/7"),
        ("StartRun", {"workflowId": "7"}, ""),
        (
            "ListTagsForResource",
            {"resourceArn": "arn:aws:omics:us-west-2:111122223333:run/7"},
            "tags/run/7",
        ),
    ],
)
def test_names(operation: str, params: dict[str, str], name: str) -> None:
    assert resource_name("omics", operation, params) == name


def test_an_error_of_healthomics_names_the_resource(aws: Emulator, client: Client) -> None:
    aws.fail("omics", "GetRunTask", "ResourceNotFoundException")
    with pytest.raises(grpc.RpcError) as raised:
        client.omics.GetRunTask(omics_pb2.GetRunTaskRequest(id="7", task_id="8"))
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.NOT_FOUND
    assert error.resource == ("AWS HealthOmics", "run/7/task/8")


def test_a_resource_name_from_aws_takes_precedence(aws: Emulator, client: Client) -> None:
    members = {"resourceId": "of-aws", "resourceType": "farm"}
    aws.fail("deadline", "GetFarm", "ResourceNotFoundException", members=members)
    with pytest.raises(grpc.RpcError) as raised:
        client.deadline.GetFarm(deadline_pb2.GetFarmRequest(farm_id="farm-" + "0" * 32))
    assert CallError.of(raised.value).resource == ("farm", "of-aws")
