"""Every operation of both models, with botocore as the oracle in both directions."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from multidict import CIMultiDict

from taskgate_emulator import Emulator
from taskgate_emulator.core import parsing
from taskgate_emulator.core.parsing import RawRequest, compile_request
from taskgate_emulator.core.responses import compile_response
from taskgate_emulator.core.routing import Router
from taskgate_emulator.deadline import behaviour as deadline
from taskgate_emulator.omics import behaviour as omics
from taskgate_server.aws.model import (
    ListShape,
    MapShape,
    OperationModel,
    Shape,
    StructureShape,
    is_document,
    is_union,
    load_service,
    operations,
    streaming_member,
)

EVERY = [
    pytest.param(operation, id=f"{name}-{operation.name}")
    for name in ("deadline", "omics")
    for operation in operations(load_service(name))
]
EMULATED = {"deadline": deadline.OPERATIONS.names, "omics": omics.OPERATIONS.names}
ROUTER = Router(operation for name in EMULATED for operation in operations(load_service(name)))
CHANGE_TIME = datetime(2026, 3, 2, 9, 30, 15, 250_000, tzinfo=UTC)


def sample(shape: Shape, depth: int = 0) -> Any:
    """Return a value with every member, except where a shape is recursive."""
    if isinstance(shape, ListShape):
        return [sample(shape.member, depth + 1), sample(shape.member, depth + 1)]
    if isinstance(shape, MapShape):
        return {"key": sample(shape.value, depth + 1)}
    if is_document(shape):
        return {"any": ["JSON", 1, None, {"deep": True}]}
    if isinstance(shape, StructureShape):
        members = list(shape.members.items())
        if is_union(shape):
            members = members[:1]
        if depth > 12:
            members = [(name, m) for name, m in members if name in shape.required_members]
        return {name: sample(member, depth + 1) for name, member in members}
    return {
        "string": "häß/l?ch %41+&=",
        "integer": 7,
        "long": 2**40,
        "float": 1.5,
        "double": -2.25,
        "boolean": True,
        "timestamp": CHANGE_TIME,
        "blob": b"\x00\xff",
    }[shape.type_name]


def serialized(operation: OperationModel, params: dict[str, Any]) -> dict[str, Any]:
    serializer = create_serializer("rest-json", include_validation=False)
    request: dict[str, Any] = serializer.serialize_to_request(params, operation)
    return request


def sample_params(operation: OperationModel) -> dict[str, Any]:
    return sample(operation.input_shape) if operation.input_shape else {}


def body_of(request: dict[str, Any]) -> bytes:
    body = request["body"]
    return body if isinstance(body, bytes) else str(body).encode()


@pytest.mark.parametrize("operation", EVERY)
def test_request_of_botocore_is_routed_and_read_back(
    operation: OperationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Samples fit the types, not the patterns; the constraints have tests of their own.
    monkeypatch.setattr(parsing, "compile_checks", lambda _shape: [])
    params = sample_params(operation)
    request = serialized(operation, params)

    path, _, constant_query = request["url_path"].partition("?")
    route = ROUTER.find(request["method"], path)

    assert route.operation.name == operation.name
    assert not constant_query
    query = request["query_string"]
    raw = RawRequest(
        labels=route.labels,
        query={
            key: [str(v) for v in (value if isinstance(value, list) else [value])]
            for key, value in query.items()
        },
        headers=CIMultiDict(request["headers"]),
        body=body_of(request),
    )
    assert compile_request(operation)(raw) == params


@pytest.mark.parametrize("operation", EVERY)
def test_response_is_parsed_by_botocore(operation: OperationModel) -> None:
    result = sample(operation.output_shape) if operation.output_shape else {}

    response = compile_response(operation)(result)

    stream = streaming_member(operation.output_shape)
    parsed: dict[str, Any] = create_parser("rest-json").parse(
        {
            "status_code": response.status,
            "headers": CIMultiDict(response.headers),
            "body": BytesIO(response.body) if stream else response.body,
            "context": {"operation_name": operation.name},
        },
        cast(Shape, operation.output_shape),  # None is what botocore passes for CancelRun
    )
    assert response.status == operation.http["responseCode"]
    assert parsed.pop("ResponseMetadata")["HTTPStatusCode"] == response.status
    if stream is not None:
        parsed[stream] = parsed[stream].read()
    assert parsed == result


def test_operations_that_are_not_emulated_return_501(aws: Emulator) -> None:
    coverage = aws.coverage
    missing = [
        operation
        for service in coverage
        for operation in operations(load_service(service))
        if coverage[service][operation.name] == "501"
    ]
    assert missing
    address = urlsplit(aws.endpoint_url).netloc
    connection = http.client.HTTPConnection(address)
    for operation in missing:
        request = serialized(operation, sample_params(operation))
        connection.request(request["method"], request["url_path"], headers={"Authorization": "any"})
        response = connection.getresponse()
        body = response.read().decode()
        assert (response.status, operation.name in body) == (501, True), body
        assert response.headers["x-amzn-ErrorType"] == "NotImplemented"
    connection.close()
    assert len(aws.requests) == len(missing)


def test_query_of_botocore_survives_http(aws: Emulator, omics: Any) -> None:
    aws.respond("omics", "UntagResource", body={})

    omics.untag_resource(resourceArn="arn:aws:omics:x:1:run/7", tagKeys=["a b", "c&d", "e+f"])

    (request,) = aws.requests
    assert request.operation == "UntagResource"
    assert "%2F7" in request.raw_path
    assert parse_qs(request.query)["tagKeys"] == ["a b", "c&d", "e+f"]


def test_put_body_is_requested_with_100_continue(aws: Emulator, omics: Any) -> None:
    # botocore waits a second for `100 Continue` before it sends the body of a PUT.
    aws.respond("omics", "UploadReadSetPart", body={"checksum": "abc"})

    response = omics.upload_read_set_part(
        sequenceStoreId="1234567890",
        uploadId="1234567890",
        partSource="SOURCE1",
        partNumber=1,
        payload=b"ACGT" * 1_000,
    )

    assert response["checksum"] == "abc"
    assert aws.requests[0].body.startswith(b"ACGT")
