from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator
from taskgate_emulator.core.errors import AwsError, UnknownOperationError
from taskgate_emulator.core.routing import Router
from taskgate_server.aws.model import OperationModel, ServiceModel


def toy(paths: dict[str, str]) -> list[OperationModel]:
    model = {
        "metadata": {"protocol": "rest-json", "serviceId": "toy"},
        "operations": {
            name: {
                "name": name,
                "http": {
                    "method": path.split(maxsplit=1)[0],
                    "requestUri": path.split(maxsplit=1)[1],
                },
            }
            for name, path in paths.items()
        },
        "shapes": {},
    }
    service = ServiceModel(model, "toy")
    return [service.operation_model(name) for name in paths]


ROUTER = Router(
    toy(
        {
            "GetThing": "GET /things/{id}",
            "PutThing": "PUT /things/{id}",
            "Search": "POST /things/search",
            "ListThings": "GET /things",
            "GetPart": "GET /things/{id}/parts/{part}",
            "GetObject": "GET /files/{bucket}/{key+}",
            "GetMeta": "GET /files/{bucket}/{key+}/meta",
            "Tags": "GET /things/tags",
        }
    )
)


@pytest.mark.parametrize(
    ("method", "path", "name", "labels"),
    [
        ("GET", "/things", "ListThings", {}),
        ("GET", "/things/7", "GetThing", {"id": "7"}),
        ("GET", "/things/tags", "Tags", {}),
        ("PUT", "/things/tags", "PutThing", {"id": "tags"}),
        ("POST", "/things/search", "Search", {}),
        ("GET", "/things/search", "GetThing", {"id": "search"}),
        ("GET", "/things/a%2Fparts%2Fb", "GetThing", {"id": "a/parts/b"}),
        ("GET", "/things/%74ags/parts/%25", "GetPart", {"id": "tags", "part": "%"}),
        ("GET", "/things/..", "GetThing", {"id": ".."}),
        ("GET", "/files/b/x/y/z", "GetObject", {"bucket": "b", "key": "x/y/z"}),
        ("GET", "/files/b/x/y/meta", "GetObject", {"bucket": "b", "key": "x/y/meta"}),
    ],
)
def test_path_finds_its_operation(
    method: str, path: str, name: str, labels: dict[str, str]
) -> None:
    route = ROUTER.find(method, path)
    assert (route.operation.name, route.labels) == (name, labels)


@pytest.mark.parametrize("path", ["/", "", "/thing", "/things/", "/things//parts/x", "/files/b/"])
def test_label_does_not_match_an_empty_segment(path: str) -> None:
    with pytest.raises(UnknownOperationError) as caught:
        ROUTER.find("GET", path)
    assert caught.value.status == 404


def test_error_of_a_wrong_method_names_the_allowed_ones() -> None:
    with pytest.raises(UnknownOperationError, match="GET and PUT, not to DELETE") as caught:
        ROUTER.find("DELETE", "/things/7")
    assert caught.value.status == 405


def test_path_that_is_not_utf8_is_rejected() -> None:
    with pytest.raises(AwsError, match="UTF-8"):
        ROUTER.find("GET", "/things/%FF")


def test_two_operations_with_one_path_are_rejected() -> None:
    with pytest.raises(ValueError, match="have one path"):
        Router(toy({"A": "GET /x/{a}", "B": "GET /x/{b}"}))


def test_unknown_template_form_is_rejected() -> None:
    with pytest.raises(ValueError, match="cannot route"):
        Router(toy({"A": "GET /x/{a}:run"}))


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/run/7/task/8", 405)]
)
def test_unknown_operation_returns_an_aws_error(
    aws: Emulator, method: str, path: str, status: int
) -> None:
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint_url).netloc)
    connection.request(method, path, headers={"Authorization": "any"})
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == status
    assert response.headers["x-amzn-ErrorType"] == "UnknownOperationException"
    assert response.headers["x-amzn-RequestId"]
    assert path in body["message"]


def test_empty_task_id_is_not_another_operation(deadline: Any, render: dict[str, str]) -> None:
    with pytest.raises(ClientError) as caught:
        deadline.get_task(**render, taskId="")
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
