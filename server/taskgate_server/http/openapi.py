"""The OpenAPI document of the HTTP listener: every RPC in the Connect protocol with JSON.

https://spec.openapis.org/oas/v3.1.1 and https://connectrpc.com/docs/protocol. The document is made
from the descriptors of the contract, its comments and AWS's model; nothing here is about a single
RPC. `json_schemas` and `request_schemas` have the schemas of messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.rpc import error_details_pb2

from taskgate_server.aws import model
from taskgate_server.calls import PAYLOAD_BYTES_KEY, TARGET_KEY
from taskgate_server.config import TARGET_NAME
from taskgate_server.http import connect_errors
from taskgate_server.http.json_schemas import WELL_KNOWN, MessageSchemas, Schema, reference
from taskgate_server.http.proto_comments import ProtoComments
from taskgate_server.http.request_schemas import RequestSchemas
from taskgate_server.pipeline.metadata import MAX_AGE_KEY, REPORT_SOURCE_KEY, SINCE_WRITE_KEY
from taskgate_server.pipeline.response import AWS_REQUEST_ID_KEY, OBSERVE_TIME_KEY
from taskgate_server.rpc.descriptor_files import DescriptorFiles
from taskgate_server.services.registry import SERVICES

OPENAPI_VERSION: Final = "3.1.1"

JSON: Final = "application/json"
JSON_STREAM: Final = "application/connect+json"

ENVELOPES: Final = "x-connect-envelopes"
"""What a stream consists of: OpenAPI 3.1 has no schema for that."""

IsSafe: TypeAlias = Callable[[MethodDescriptor], bool]
"""Returns whether an RPC has no side effects, and so is served for GET, too."""

_TEXT: Final = """\
One gRPC API for the tasks of AWS services, over HTTP by the [Connect](https://connectrpc.com) \
protocol. Every RPC takes `POST` with a JSON body; those without side effects and with one \
response take `GET`, too.

The JSON is [proto3's](https://protobuf.dev/programming-guides/json/):

* A member that has its default value may be absent, and `null` in a request is the same as absent.
* Requests may have 64-bit integers as numbers, too, and names as in the `.proto` files. A member \
that does not exist is an error.
* Responses may have more than is here: a newer server adds members and enum values, and AWS sends \
values that its own documentation does not have. An enum value that is unknown is a number, or the \
word is in `unrecognizedValues`.

The schemas of requests have the constraints of AWS's models as far as JSON Schema can express them.
"""

_STREAM_TEXT: Final = """\
An envelope is one byte of flags, the length of a message as four bytes in big-endian order, and \
the message in JSON. A flag with the value 1 means that the message is compressed; a flag with the \
value 2 marks the last envelope of a response, with errors and trailing metadata. The HTTP status \
of a stream is 200, also when it ends with an error.
"""


def document(
    services: Iterable[ServiceDescriptor], version: str, is_safe: IsSafe
) -> dict[str, Any]:
    """Return the OpenAPI document. It takes about a second for all services.

    Args:
        services: the gRPC services that the server has, in the order of the document.
        version: of Taskgate.
        is_safe: whether an RPC has no side effects.
    """
    return _Document(list(services), version, is_safe).make()


def serialize(made: dict[str, Any]) -> bytes:
    """Return a document in JSON: the same bytes for the same services and versions."""
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


class _Document:
    def __init__(
        self, services: Sequence[ServiceDescriptor], version: str, is_safe: IsSafe
    ) -> None:
        self._services, self._version, self._is_safe = services, version, is_safe
        packages = [each.full_name.partition(".")[0] for each in services]
        self._comments = ProtoComments(DescriptorFiles(descriptor_pool.Default(), packages))
        self._schemas: dict[str, Schema] = {}
        methods = [method for service in services for method in service.methods]
        received = _contained(method.output_type for method in methods)

        def name_in_request(message: Descriptor) -> str:
            is_both = message.full_name in received
            return f"{message.full_name}-Input" if is_both else message.full_name

        self._responses = MessageSchemas(
            self._schemas, self._comments, lambda message: message.full_name
        )
        self._requests = RequestSchemas(self._schemas, self._comments, name_in_request)

    def make(self) -> dict[str, Any]:
        paths = {
            f"/{service.full_name}/{method.name}": self._path(method)
            for service in self._services
            for method in service.methods
        }
        details = error_details_pb2.DESCRIPTOR.message_types_by_name.values()
        self._schemas |= connect_errors.make_schemas(
            [(message, self._responses.message(message)) for message in details]
        )
        return {
            "openapi": OPENAPI_VERSION,
            "info": {
                "title": "Taskgate",
                "version": self._version,
                "description": _TEXT,
                "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{}, {"token": []}, {"certificate": []}],
            "tags": [self._tag(service) for service in self._services],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "responses": connect_errors.make_responses(),
                "parameters": _PARAMETERS,
                "headers": {**_TRAILERS, **connect_errors.HEADERS},
                "securitySchemes": _SECURITY_SCHEMES,
            },
        }

    def _tag(self, service: ServiceDescriptor) -> Schema:
        comment = self._comments.find(service.file.name, service.full_name)
        return {"name": service.full_name} | ({"description": comment} if comment else {})

    def _path(self, method: MethodDescriptor) -> Schema:
        request = self._requests.request(method.input_type, _input_shape(method))
        response = self._responses.message(method.output_type)
        parameters = [_parameter(name) for name in _HEADER_PARAMETERS]
        if method.client_streaming or method.server_streaming:
            return {"parameters": parameters, "post": self._stream(method, request, response)}
        path = {"parameters": parameters, "post": self._post(method, request, response)}
        return path | (
            {"get": self._get(method, request, response)} if self._is_safe(method) else {}
        )

    def _operation(self, method: MethodDescriptor) -> Schema:
        service: Any = method.containing_service
        name = f"{service.full_name}.{method.name}"
        comment = self._comments.find(service.file.name, name)
        text, _, last = comment.rpartition("\n")
        operation: Schema = {"operationId": name, "tags": [service.full_name]}
        if last.startswith("https://"):
            operation["externalDocs"], comment = {"url": last}, text
        if comment:
            operation["description"] = comment
        return operation | ({"deprecated": True} if method.GetOptions().deprecated else {})

    def _post(self, method: MethodDescriptor, request: Schema, response: Schema) -> Schema:
        body = {"required": True, "content": {JSON: {"schema": request}}}
        return self._operation(method) | {"requestBody": body, "responses": _unary(response)}

    def _get(self, method: MethodDescriptor, request: Schema, response: Schema) -> Schema:
        operation = self._operation(method)
        operation["operationId"] += ".get"
        message = {
            "name": "message",
            "in": "query",
            "required": True,
            "description": "The request in JSON.",
            "content": {JSON: {"schema": request}},
        }
        parameters = [message, *(_parameter(name) for name in _QUERY_PARAMETERS)]
        return operation | {"parameters": parameters, "responses": _unary(response)}

    def _stream(self, method: MethodDescriptor, request: Schema, response: Schema) -> Schema:
        operation = self._operation(method)
        many = "one or more envelopes" if method.client_streaming else "one envelope"
        text = f"The request body is {many}, the response a stream of them.\n\n{_STREAM_TEXT}"
        operation["description"] = f"{operation.get('description', '')}\n\n{text}".strip()
        end = reference(connect_errors.END_OF_STREAM)
        success = {
            "description": "Envelopes with responses, then one with the end of the stream.",
            "content": {JSON_STREAM: {ENVELOPES: {"message": response, "end": end}}},
        }
        if method.client_streaming:
            operation["parameters"] = [_parameter(PAYLOAD_BYTES_KEY)]
        return operation | {
            "requestBody": {
                "required": True,
                "content": {JSON_STREAM: {ENVELOPES: {"message": request}}},
            },
            "responses": {"200": success, **_ERRORS},
        }


def _input_shape(method: MethodDescriptor) -> model.Shape | None:
    """Return the request of an RPC in AWS's model; None if it is not of AWS, or has no members."""
    service: Any = method.containing_service
    spec = next((s for s in SERVICES if s.grpc_service_full_name == service.full_name), None)
    if spec is None:
        return None
    described = model.load_service(spec.name)
    # botocore may be older than the contract.
    is_known = method.name in described.operation_names
    return described.operation_model(method.name).input_shape if is_known else None


def _contained(roots: Iterable[Descriptor]) -> frozenset[str]:
    """Return the full names of messages and of all that they contain."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found and message.full_name not in WELL_KNOWN:
            found.add(message.full_name)
            waiting.extend(_types_of_fields(message))
    return frozenset(found)


def _types_of_fields(message: Descriptor) -> Iterator[Descriptor]:
    for field in message.fields:
        if field.message_type is not None:
            yield field.message_type


# --- What all operations share --------------------------------------------------------------------

_ERRORS: Final = {
    "415": {"$ref": "#/components/responses/UnsupportedMediaType"},
    "431": {"$ref": "#/components/responses/TooLarge"},
    "4XX": {"$ref": "#/components/responses/ClientError"},
    "5XX": {"$ref": "#/components/responses/ServerError"},
}

_TRAILERS: Final[Schema] = {
    f"Trailer-{AWS_REQUEST_ID_KEY}": {
        "description": "AWS's id of the request that the response is from, if requested.",
        "schema": {"type": "string"},
    },
    f"Trailer-{OBSERVE_TIME_KEY}": {
        "description": "When AWS sent the response, in ISO 8601, if requested.",
        "schema": {"type": "string"},
    },
}


def _unary(response: Schema) -> Schema:
    success = {
        "description": "The response.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _TRAILERS},
        "content": {JSON: {"schema": response}},
    }
    return {"200": success, **_ERRORS}


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


_HEADER_PARAMETERS: Final[Schema] = {
    "Connect-Protocol-Version": {
        "name": "Connect-Protocol-Version",
        "in": "header",
        "description": "The version of the protocol.",
        "schema": {"type": "string", "enum": ["1"]},
    },
    "Connect-Timeout-Ms": {
        "name": "Connect-Timeout-Ms",
        "in": "header",
        "description": "The deadline of the call, in milliseconds from now. Without it, the"
        " server's `default_time_limit_seconds` applies to unary calls.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
    },
    TARGET_KEY: {
        "name": TARGET_KEY,
        "in": "header",
        "description": "The AWS account and region of the call, by its name in the server's"
        " settings.",
        "schema": {"type": "string", "pattern": f"^{TARGET_NAME}$"},
    },
    MAX_AGE_KEY: {
        "name": MAX_AGE_KEY,
        "in": "header",
        "description": "The maximum age of AWS's response in seconds, when the request arrives."
        " Zero requires a response that AWS sends after that time.",
        "schema": {"type": "number", "minimum": 0},
    },
    SINCE_WRITE_KEY: {
        "name": SINCE_WRITE_KEY,
        "in": "header",
        "description": "The seconds since the latest write whose effect the response must show."
        " Another replica may have executed it. Responses are not older, whatever `max_age` is.",
        "schema": {"type": "number", "minimum": 0},
    },
    REPORT_SOURCE_KEY: {
        "name": REPORT_SOURCE_KEY,
        "in": "header",
        "description": "`true` requests the headers of the response that start with `Trailer-`.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
}

_QUERY_PARAMETERS: Final[Schema] = {
    "encoding": {
        "name": "encoding",
        "in": "query",
        "required": True,
        "description": "The format of `message` and of the response. `proto` is possible, too, with"
        " `base64=1`.",
        "schema": {"type": "string", "enum": ["json"]},
    },
    "connect": {
        "name": "connect",
        "in": "query",
        "description": "The version of the protocol.",
        "schema": {"type": "string", "enum": ["v1"]},
    },
}

_PARAMETERS: Final[Schema] = {
    **_HEADER_PARAMETERS,
    **_QUERY_PARAMETERS,
    PAYLOAD_BYTES_KEY: {
        "name": PAYLOAD_BYTES_KEY,
        "in": "header",
        "description": "The length of the payload in all messages of the stream.",
        "schema": {"type": "integer", "minimum": 0},
    },
}

_SECURITY_SCHEMES: Final[Schema] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the issuer in the server's settings.",
    },
    "certificate": {
        "type": "mutualTLS",
        "description": "A client certificate of the authority in the server's settings.",
    },
}
