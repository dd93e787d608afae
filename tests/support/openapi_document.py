"""The server's OpenAPI document, and validators of its schemas."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from taskgate.v1 import task_service_pb2
from taskgate_server.http import openapi
from taskgate_server.http.idempotency import is_safe
from taskgate_server.rpc.handlers import load_contract
from taskgate_server.services.registry import SERVICES

SERVED: Final[list[ServiceDescriptor]] = [
    task_service_pb2.DESCRIPTOR.services_by_name["TaskService"],
    *map(load_contract, SERVICES),
]

METHODS: Final[list[MethodDescriptor]] = [
    method for service in SERVED for method in service.methods
]
UNARY: Final = [each for each in METHODS if not each.client_streaming and not each.server_streaming]

_URI: Final = "urn:openapi"
MAX_FAULTS: Final = 3


def path_of(method: MethodDescriptor) -> str:
    """Return the path of an RPC."""
    service: Any = method.containing_service
    return f"/{service.full_name}/{method.name}"


@cache
def document() -> dict[str, Any]:
    """Return the document."""
    return openapi.document(SERVED, "1.2.3", is_safe)


@cache
def strict_document() -> dict[str, Any]:
    """Return the document with closed responses: in tests, no member is a newer server's."""
    strict = deepcopy(document())
    for schema in strict["components"]["schemas"].values():
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", "@type" in schema["properties"])
    return strict


class Judge:
    """Validates JSON against the schemas of a document."""

    def __init__(self, contents: dict[str, Any]) -> None:
        self._contents = contents
        resource = DRAFT202012.create_resource(contents)
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        self._formats = FormatChecker()
        self._validators: dict[str, Draft202012Validator] = {}

    def request_faults(self, method: MethodDescriptor, message: Message) -> list[str]:
        """Return what is wrong with a request by the schema of the RPC."""
        post = self._contents["paths"][path_of(method)]["post"]
        [content] = post["requestBody"]["content"].values()
        return self.faults(content.get("schema") or _envelope(content), to_json(message))

    def response_faults(self, method: MethodDescriptor, message: Message) -> list[str]:
        """Return what is wrong with a response by the schema of the RPC."""
        post = self._contents["paths"][path_of(method)]["post"]
        [content] = post["responses"]["200"]["content"].values()
        return self.faults(content.get("schema") or _envelope(content), to_json(message))

    def faults(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Return what is wrong with a value by a schema of the document: a reference."""
        name = schema["$ref"]
        validator = self._validators.get(name)
        if validator is None:
            validator = self._validators[name] = Draft202012Validator(
                {"$ref": f"{_URI}{name}"}, registry=self._registry, format_checker=self._formats
            )
        if validator.is_valid(value):
            return []
        errors = list(validator.iter_errors(value))[:MAX_FAULTS]
        return [f"{error.json_path}: {error.message[:300]}" for error in errors]


def _envelope(content: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = content[openapi.ENVELOPES]["message"]
    return message


def to_json(message: Message) -> Any:
    """Return a message as it arrives: in proto3's JSON format."""
    return json.loads(json_format.MessageToJson(message))


@cache
def judge() -> Judge:
    """Return the judge by the document."""
    return Judge(document())


@cache
def strict_judge() -> Judge:
    """Return the judge that accepts no member that the document lacks."""
    return Judge(strict_document())
