"""Pages of lists: the names of members in the model, and their keys in AWS's JSON."""

from __future__ import annotations

import json

import pytest
from botocore.loaders import Loader

from taskgate_server.aws.fitting import wire_name
from taskgate_server.aws.model import load_service
from taskgate_server.aws.paging import PagedOperation

# Services whose JSON spells members as the model does, and services whose JSON does not.
SERVICES = ("batch", "deadline", "mediaconvert", "mediaconnect", "omics", "kafka", "medialive")


def lists() -> list[tuple[str, str]]:
    """Return the operations that list structures, with modelled pagination."""
    found = []
    for service in SERVICES:
        pagination = Loader().load_service_model(service, "paginators-1")["pagination"]
        for operation, names in sorted(pagination.items()):
            output = load_service(service).operation_model(operation).output_shape
            rows, token = names.get("result_key"), names.get("output_token")
            if "limit_key" in names and isinstance(rows, str) and isinstance(token, str):
                shape = output.members.get(rows) if output else None
                if getattr(getattr(shape, "member", None), "type_name", "") == "structure":
                    found.append((service, operation))
    return found


@pytest.mark.parametrize(("service", "operation"), lists())
def test_rows_and_token_are_read_from_the_keys_of_the_json(service: str, operation: str) -> None:
    paged = PagedOperation(service, operation)
    output = load_service(service).operation_model(operation).output_shape
    assert output is not None
    keys = {name: wire_name(name, shape) for name, shape in output.members.items()}
    body = json.loads(
        json.dumps({keys[paged.paging.rows]: [{}, {}], keys[paged.paging.next_token]: "next"})
    )
    page = paged.read(body)
    assert list(page.rows) == [{}, {}]
    assert page.next_token == "next"


def test_keys_of_mediaconvert_differ_from_its_members() -> None:
    paged = PagedOperation("mediaconvert", "ListJobs")
    assert paged.read({"jobs": [{"id": "1"}], "nextToken": "2"}).rows == [{"id": "1"}]
    assert "Id" in paged.members
    assert "id" in paged.row_keys
