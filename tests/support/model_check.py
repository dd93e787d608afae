"""Checks each response of the emulator against the model and with botocore's parser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any, cast

import pytest
from botocore.parsers import create_parser
from multidict import CIMultiDict

from taskgate_emulator.core.dispatch import Dispatcher, HttpRequest
from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.responses import HttpResponse, error_response
from taskgate_emulator.core.routing import Route
from taskgate_server.aws.model import (
    ListShape,
    MapShape,
    OperationModel,
    Shape,
    StructureShape,
    enum_values,
    is_document,
    is_union,
    streaming_member,
)

_PYTHON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "blob": str,
    "timestamp": (str, int, float),
}


@pytest.fixture(autouse=True)
def every_response_satisfies_the_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check each response of emulators in this process, except canned ones."""
    found: list[str] = []
    perform = Dispatcher._perform

    def judged(self: Dispatcher, route: Route, request: HttpRequest) -> HttpResponse:
        try:
            response = perform(self, route, request)
        except AwsError as error:
            refusal = error_response(error, route.operation.service_model)
            found.extend(faults_of(route.operation, refusal))
            raise
        found.extend(faults_of(route.operation, response))
        return response

    monkeypatch.setattr(Dispatcher, "_perform", judged)
    yield
    assert found == []


def faults_of(operation: OperationModel, response: HttpResponse) -> list[str]:
    """Return the faults of a response."""
    shape = _shape_of(operation, response)
    if shape is None:
        return []
    found = list(_parsed(operation, response))
    if streaming_member(shape) is None:
        payload = shape.serialization.get("payload")
        document = json.loads(response.body)
        top = shape.members[payload] if payload else shape
        found += _walk(document, top, operation.name, response.headers)
    return found


def _shape_of(operation: OperationModel, response: HttpResponse) -> StructureShape | None:
    if response.status < 300:
        return operation.output_shape
    code = response.headers.get("x-amzn-ErrorType")
    for shape in operation.service_model.error_shapes:
        if shape.name == code and isinstance(shape, StructureShape):
            return shape
    return None


def _parsed(operation: OperationModel, response: HttpResponse) -> Iterator[str]:
    stream = streaming_member(operation.output_shape) if response.status < 300 else None
    try:
        create_parser("rest-json").parse(
            {
                "status_code": response.status,
                "headers": CIMultiDict(response.headers),
                "body": BytesIO(response.body) if stream else response.body,
                "context": {"operation_name": operation.name},
            },
            cast(Shape, operation.output_shape),
        )
    except Exception as error:  # noqa: BLE001 whatever botocore raises is a fault of the response
        yield f"{operation.name}: botocore cannot parse it: {error!r}"


def _walk(value: Any, shape: Shape, path: str, headers: Any = None) -> Iterator[str]:
    if is_document(shape):
        return
    if isinstance(shape, StructureShape):
        yield from _structure(value, shape, path, headers)
    elif isinstance(shape, ListShape):
        rows = value if isinstance(value, list) else [None]
        for position, inner in enumerate(rows):
            yield from _walk(inner, shape.member, f"{path}[{position}]")
    elif isinstance(shape, MapShape):
        for key, inner in value.items():
            yield from _walk(inner, shape.value, f"{path}.{key}")
    else:
        yield from _scalar(value, shape, path)


def _scalar(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if not isinstance(value, _PYTHON[shape.type_name]):
        yield f"{path} is {type(value).__name__}, not {shape.type_name}"
    elif enum_values(shape) and value not in enum_values(shape):
        yield f"{path} has no word {value}"


def _structure(value: Any, shape: StructureShape, path: str, headers: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no object"
        return
    body = {
        member.serialization.get("name", name): member
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    yield from (f"{path} has an unknown {name}" for name in value.keys() - body.keys())
    yield from (f"{path} lacks {name}" for name in _missing(value, shape, headers))
    if is_union(shape) and len(value) != 1:
        yield f"{path} has {len(value)} members of a union"
    for name, member in body.items():
        if value.get(name) is not None:
            yield from _walk(value[name], member, f"{path}.{name}")


def _missing(value: Any, shape: StructureShape, headers: Any) -> Iterator[str]:
    for name in shape.required_members:
        serialization = shape.members[name].serialization
        wire = serialization.get("name", name)
        if serialization.get("location") == "header":
            if headers is not None and wire not in CIMultiDict(headers):
                yield wire
        elif "location" not in serialization and value.get(wire) is None:
            yield wire
