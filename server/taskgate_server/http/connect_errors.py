"""Errors as the Connect protocol sends them, for the OpenAPI document.

https://connectrpc.com/docs/protocol#error-end-stream
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.descriptor import Descriptor
from grpc import StatusCode

from taskgate_server.http.json_schemas import Schema, reference

HTTP_STATUSES: Final[Mapping[StatusCode, int]] = {
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.ABORTED: 409,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNAUTHENTICATED: 401,
}
"""The HTTP status of each gRPC status: https://connectrpc.com/docs/protocol#error-codes"""

FIRST_SERVER_ERROR: Final = 500

ERROR: Final = "connect.error"
DETAIL: Final = "connect.error_detail"
END_OF_STREAM: Final = "connect.end_of_stream"

RETRY_AFTER: Final = "Retry-After"

HEADERS: Final[Mapping[str, Schema]] = {
    RETRY_AFTER: {
        "description": "When the call may be retried: the seconds of `google.rpc.RetryInfo`.",
        "schema": {"type": "integer", "minimum": 1},
    }
}


def code_name(code: StatusCode) -> str:
    """Return a status as Connect spells it: `not_found`."""
    return "canceled" if code is StatusCode.CANCELLED else code.name.lower()


def make_schemas(details: Iterable[tuple[Descriptor, Schema]]) -> dict[str, Schema]:
    """Return the schemas of errors by name.

    Args:
        details: the messages that errors have as details, each with a reference to its schema.
    """
    return {
        ERROR: {
            "type": "object",
            "properties": {
                "code": {"type": "string", "enum": [code_name(code) for code in HTTP_STATUSES]},
                "message": {"type": "string", "description": "What is wrong, then what to do."},
                "details": {"type": "array", "items": reference(DETAIL)},
            },
            "required": ["code"],
            "description": "An error. Its `google.rpc.ErrorInfo` has a reason for programs, its"
            " `google.rpc.RequestInfo` the id of the request.",
        },
        DETAIL: {
            "type": "object",
            "properties": {
                "type": {
                    "type": "string",
                    "description": "The full name of a message.",
                    "examples": ["google.rpc.ErrorInfo"],
                },
                "value": {
                    "type": "string",
                    "contentEncoding": "base64",
                    "pattern": "^[A-Za-z0-9+/]*$",
                    "description": "The message in protobuf's binary format, in base64 without"
                    " padding.",
                },
                "debug": {"description": "The message in JSON."},
            },
            "required": ["type", "value"],
            "allOf": [
                {
                    "if": {"properties": {"type": {"const": message.full_name}}},
                    "then": {"properties": {"debug": schema}},
                }
                for message, schema in details
            ],
        },
        END_OF_STREAM: {
            "type": "object",
            "properties": {
                "error": reference(ERROR),
                "metadata": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "string"}},
                    "description": "Trailing metadata.",
                },
            },
            "description": "The last envelope of a stream. A stream without `error` is complete.",
        },
    }


def make_responses() -> dict[str, Schema]:
    """Return the responses with errors by name."""
    client = {code: at for code, at in HTTP_STATUSES.items() if at < FIRST_SERVER_ERROR}
    server = {code: at for code, at in HTTP_STATUSES.items() if at >= FIRST_SERVER_ERROR}
    further = (
        "\n\nA request that is not one of the Connect protocol has a short error, without details:"
        " 404 for another path, 405 for another method, 403 for a page of another origin."
    )
    return {
        "ClientError": _response("The request cannot be served as it is.", client, further),
        "ServerError": _response("The request may succeed later, or elsewhere.", server, ""),
        "UnsupportedMediaType": {"description": "The request has another encoding. Empty."},
        "TooLarge": {
            "description": "The path and the headers have more than 32 KiB in all, or the headers"
            " more than 100 lines: call with `POST`. Empty."
        },
    }


def _response(what: str, statuses: Mapping[StatusCode, int], further: str) -> Schema:
    rows = "\n".join(f"* {at}: `{code_name(code)}`" for code, at in _by_status(statuses))
    code = {"enum": [code_name(code) for code in statuses]}
    schema = reference(ERROR) | {"properties": {"code": code}}
    return {
        "description": f"{what}\n\n{rows}{further}",
        "headers": {RETRY_AFTER: {"$ref": f"#/components/headers/{RETRY_AFTER}"}},
        "content": {"application/json": {"schema": schema}},
    }


def _by_status(statuses: Mapping[StatusCode, int]) -> Iterable[tuple[StatusCode, int]]:
    return sorted(statuses.items(), key=lambda item: (item[1], item[0].name))
