"""Access to botocore's service models; nothing else in the server imports `botocore.model`.

Counts, names and constraints come from the installed botocore and are not repeated elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, NamedTuple

import botocore
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StringShape,
    StructureShape,
)

from taskgate_server.aws.model_files import LOADER
from taskgate_server.services.registry import SERVICES

__all__ = [
    "BOTOCORE_VERSION",
    "SERVED_PROTOCOLS",
    "ListShape",
    "MapShape",
    "OperationModel",
    "Segment",
    "ServiceModel",
    "Shape",
    "StringShape",
    "StructureShape",
    "description",
    "enum_values",
    "greedy_members",
    "is_document",
    "is_event_stream",
    "is_idempotency_token",
    "is_required",
    "is_sensitive",
    "is_union",
    "load_service",
    "operations",
    "paginators",
    "protocol",
    "route",
    "streaming_member",
    "with_operations",
]

BOTOCORE_VERSION = botocore.__version__

SERVED_PROTOCOLS = ("json", "rest-json")
"""The protocols of AWS whose responses Taskgate reads."""

IGNORED_PATTERNS = {spec.name: spec.ignored_patterns for spec in SERVICES}


@cache
def load_service(name: str) -> ServiceModel:
    """Return the model of an AWS service by botocore's name.

    Raises:
        botocore.exceptions.UnknownServiceError: the installed botocore has no such service.
    """
    found = LOADER.load_service_model(name, "service-2")
    corrected = {
        shape: {
            trait: value for trait, value in found["shapes"][shape].items() if trait != "pattern"
        }
        for shape in IGNORED_PATTERNS.get(name, ())
    }
    return ServiceModel({**found, "shapes": {**found["shapes"], **corrected}}, name)


@cache
def paginators(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return botocore's pagination data of an AWS service by operation."""
    pagination: Mapping[str, Mapping[str, Any]] = LOADER.load_service_model(name, "paginators-1")[
        "pagination"
    ]
    return pagination


def description(service: ServiceModel) -> Mapping[str, Any]:
    """Return a model as botocore stores it."""
    untyped: Any = service  # its stubs lack the attribute
    described: Mapping[str, Any] = untyped._service_description  # noqa: SLF001  # it has no accessor
    return described


def with_operations(service: ServiceModel, names: Collection[str]) -> ServiceModel:
    """Return the model with these of its operations only."""
    every = description(service)
    kept = {name: each for name, each in every["operations"].items() if name in names}
    return ServiceModel({**every, "operations": kept}, service.service_name)


def operations(service: ServiceModel) -> list[OperationModel]:
    """Return all operations of a service, sorted by name."""
    return [service.operation_model(name) for name in sorted(service.operation_names)]


def protocol(service: ServiceModel) -> str:
    """Return the protocol that boto3 uses for a service, such as `rest-json`."""
    return str(service.resolved_protocol)


class Segment(NamedTuple):
    """A segment of the path of an operation's HTTP route."""

    text: str
    """The literal text; empty for a parameter."""
    member: str
    """The input member of a parameter; empty for a literal."""


@cache
def route(operation: OperationModel) -> tuple[Segment, ...]:
    """Return the path of an operation's HTTP route."""
    members = operation.input_shape.members if operation.input_shape is not None else {}
    labels = {
        shape.serialization.get("name", member): member
        for member, shape in members.items()
        if shape.serialization.get("location") == "uri"
    }
    path: str = operation.http["requestUri"].partition("?")[0]
    return tuple(
        Segment("", labels[part.strip("{}+")]) if part.startswith("{") else Segment(part, "")
        for part in path.split("/")
        if part
    )


def greedy_members(operation: OperationModel) -> frozenset[str]:
    """Return the input members that fill several segments of the route, as in `/files/{path+}`."""
    path: str = operation.http["requestUri"].partition("?")[0]
    return frozenset(
        segment.member
        for segment in route(operation)
        if segment.member and f"{{{_wire_name(operation, segment.member)}+}}" in path
    )


def _wire_name(operation: OperationModel, member: str) -> str:
    members = operation.input_shape.members if operation.input_shape is not None else {}
    return str(members[member].serialization.get("name", member))


def is_union(shape: Shape) -> bool:
    """Return whether a shape is a tagged union, of which exactly one member is set."""
    return isinstance(shape, StructureShape) and bool(shape.is_tagged_union)


def is_document(shape: Shape) -> bool:
    """Return whether a shape is any JSON value: Smithy's `document`, or a header with JSON."""
    if isinstance(shape, StructureShape):
        return bool(shape.is_document_type)
    # botocore.utils.is_json_value_header; in bodies such members are plain strings.
    traits = shape.serialization
    return bool(traits.get("jsonvalue")) and traits.get("location") == "header"


def is_event_stream(shape: Shape) -> bool:
    """Return whether a shape is a stream of events."""
    return bool(shape.serialization.get("eventstream"))


def enum_values(shape: Shape) -> list[str]:
    """Return the values of an enum; empty for other shapes."""
    return list(shape.enum) if isinstance(shape, StringShape) else []


def is_idempotency_token(shape: Shape) -> bool:
    """Return whether the SDK generates a value if there is none, required or not."""
    return bool(shape.metadata.get("idempotencyToken"))


def is_sensitive(shape: Shape) -> bool:
    """Return whether the model forbids to log values of a shape."""
    return bool(shape.metadata.get("sensitive"))


def is_required(shape: StructureShape, member: str) -> bool:
    """Return whether a structure requires a member."""
    return member in shape.required_members


def streaming_member(shape: StructureShape | None) -> str | None:
    """Return the member that is the HTTP body as a stream of bytes; None without one."""
    if shape is None:
        return None
    payload: str | None = shape.serialization.get("payload")
    if payload is None or not shape.members[payload].serialization.get("streaming"):
        return None
    return payload
