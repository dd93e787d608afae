"""The only door to botocore's service models: operations, shapes and what the model says of them.

`codegen`, the converter and the emulator ask here; nothing else imports `botocore.model`. Counts,
names and constraints come from the installed botocore and are typed nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore
from botocore.loaders import Loader
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StringShape,
    StructureShape,
)

from taskgate_server.services.registry import SERVICES

__all__ = [
    "BOTOCORE_VERSION",
    "ListShape",
    "MapShape",
    "OperationModel",
    "ServiceModel",
    "Shape",
    "StringShape",
    "StructureShape",
    "enum_values",
    "is_document",
    "is_idempotency_token",
    "is_required",
    "is_sensitive",
    "is_union",
    "load_service",
    "operations",
    "paginators",
    "streaming_member",
]

BOTOCORE_VERSION = botocore.__version__


IGNORED_PATTERNS = {spec.name: spec.ignored_patterns for spec in SERVICES}


@cache
def load_service(name: str) -> ServiceModel:
    """The model of the AWS service that botocore calls `name`.

    Raises:
        botocore.exceptions.UnknownServiceError: the installed botocore has no such service.
    """
    description = Loader().load_service_model(name, "service-2")
    for shape in IGNORED_PATTERNS.get(name, ()):
        description["shapes"][shape].pop("pattern", None)
    return ServiceModel(description, name)


@cache
def paginators(name: str) -> Mapping[str, Mapping[str, Any]]:
    """How the operations of an AWS service page, of those that botocore knows to: by operation."""
    pagination: Mapping[str, Mapping[str, Any]] = Loader().load_service_model(name, "paginators-1")[
        "pagination"
    ]
    return pagination


def operations(service: ServiceModel) -> list[OperationModel]:
    """Every operation of the service, by name in order."""
    return [service.operation_model(name) for name in sorted(service.operation_names)]


def is_union(shape: Shape) -> bool:
    """Whether the shape is a tagged union: exactly one member is set."""
    return isinstance(shape, StructureShape) and bool(shape.is_tagged_union)


def is_document(shape: Shape) -> bool:
    """Whether the shape is any JSON value (Smithy's `document`)."""
    return isinstance(shape, StructureShape) and bool(shape.is_document_type)


def enum_values(shape: Shape) -> list[str]:
    """The words that the model knows for the shape; empty when it is not an enum."""
    return list(shape.enum) if isinstance(shape, StringShape) else []


def is_idempotency_token(shape: Shape) -> bool:
    """Whether the SDK makes a value when the caller gives none, required or not."""
    return bool(shape.metadata.get("idempotencyToken"))


def is_sensitive(shape: Shape) -> bool:
    """Whether the model marks the shape as never to be logged."""
    return bool(shape.metadata.get("sensitive"))


def is_required(shape: StructureShape, member: str) -> bool:
    """Whether the structure needs the member."""
    return member in shape.required_members


def streaming_member(shape: StructureShape | None) -> str | None:
    """The member that is the HTTP body as a stream of bytes, if the shape has one."""
    if shape is None:
        return None
    payload: str | None = shape.serialization.get("payload")
    if payload is None or not shape.members[payload].serialization.get("streaming"):
        return None
    return payload
