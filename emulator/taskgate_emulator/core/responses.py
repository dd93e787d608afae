"""Writes the response of an operation, or an error, as HTTP; `parsing.py` is the counterpart.

`compile_response` walks an output shape once and returns a function. Its input is the result of a
behaviour, in the form that botocore would parse from the response. The result may have more members
than the shape, which selects them: one record of a task serves GetTask and ListTasks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from taskgate_emulator.core.errors import AwsError
from taskgate_server.aws.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StructureShape,
    enum_values,
    is_document,
)

__all__ = ["HttpResponse", "compile_response", "error_response", "json_body"]

_CONTENT_TYPE = "Content-Type"
_JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delivery: str = "whole"
    """How it is sent: whole, or with a fault: `latency`, `hang`, `reset` or `cut`."""
    delay: float = 0.0
    """Seconds, for `latency`."""


class IncompleteResponseError(Exception):
    """A bug in the emulator: a response lacks a member that the model requires."""


_Writer = Callable[[Any], Any]


def compile_response(operation: OperationModel) -> Callable[[Mapping[str, Any]], HttpResponse]:
    """Return the function that writes this operation's responses."""
    status = operation.http.get("responseCode", HTTPStatus.OK)
    if operation.output_shape is None:
        # For example CancelRun: 202 without a body.
        return lambda _result: HttpResponse(status=status)
    write = _compile_output(operation.output_shape)
    return lambda result: write(result, status)


def error_response(error: AwsError, service: ServiceModel | None) -> HttpResponse:
    """Return the response from which botocore raises an error.

    Args:
        error: to report.
        service: whose error shapes define the response; None before the service is known.
    """
    error_type = {"x-amzn-ErrorType": error.code}
    shape = _error_shape(service, error.code) if service else None
    if shape is None:
        body = {"message": error.message, **error.members}
        headers = {_CONTENT_TYPE: _JSON_TYPE, **error_type}
        return HttpResponse(status=error.status, headers=headers, body=json_body(body))
    members = {**_required(shape), **error.members, "message": error.message}
    response = _compile_output(shape)(members, shape.metadata["error"]["httpStatusCode"])
    return HttpResponse(
        status=response.status, headers={**response.headers, **error_type}, body=response.body
    )


def json_body(document: object) -> bytes:
    """Encode a JSON document as AWS does."""
    return json.dumps(document, separators=(",", ":")).encode()


def _error_shape(service: ServiceModel, code: str) -> StructureShape | None:
    for shape in service.error_shapes:
        if shape.name == code and isinstance(shape, StructureShape):
            return shape
    return None


def _required(shape: StructureShape) -> dict[str, object]:
    """Return a default for each required text of an error."""
    return {
        name: (enum_values(shape.members[name]) or [""])[0]
        for name in shape.required_members
        if shape.members[name].type_name == "string"
    }


def _compile_output(shape: StructureShape) -> Callable[[Mapping[str, Any], int], HttpResponse]:
    compiler = _Compiler()
    payload: str | None = shape.serialization.get("payload")
    located = {
        name: member for name, member in shape.members.items() if "location" in member.serialization
    }
    write_headers = [_header_writer(name, member) for name, member in located.items()]
    write_body = compiler.members(shape, leave_out=frozenset(located))

    def write(result: Mapping[str, Any], status: int) -> HttpResponse:
        headers = {_CONTENT_TYPE: _JSON_TYPE}
        for write_header in write_headers:
            headers.update(write_header(result))
        if payload is None:
            body = json_body(write_body(result))
        elif isinstance(result.get(payload), bytes):
            body = result[payload]
        else:
            body = json_body(write_body(result).get(payload, {}))
        return HttpResponse(status=_status(located, result) or status, headers=headers, body=body)

    return write


def _status(located: Mapping[str, Shape], result: Mapping[str, Any]) -> int | None:
    for name, member in located.items():
        if member.serialization["location"] == "statusCode":
            return result.get(name)
    return None


def _header_writer(name: str, member: Shape) -> Callable[[Mapping[str, Any]], dict[str, str]]:
    wire_name: str = member.serialization.get("name", name)

    def write(result: Mapping[str, Any]) -> dict[str, str]:
        value = result.get(name)
        if value is None or member.serialization["location"] == "statusCode":
            return {}
        if isinstance(value, Mapping):
            return {f"{wire_name}{key}": text for key, text in value.items()}
        if isinstance(value, datetime):
            return {wire_name: format_datetime(value.astimezone(UTC), usegmt=True)}
        return {wire_name: str(value).lower() if isinstance(value, bool) else str(value)}

    return write


class _Compiler:
    """Builds one writer per shape and caches it for recursive structures."""

    def __init__(self) -> None:
        self._structures: dict[str, _Writer] = {}

    def writer(self, shape: Shape) -> _Writer:
        """Return the writer of a value in JSON."""
        if isinstance(shape, ListShape):
            return _list_writer(self.writer(shape.member))
        if isinstance(shape, MapShape):
            return _map_writer(self.writer(shape.value))
        if is_document(shape):
            return _unchanged
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if shape.type_name == "timestamp":
            return _TIMESTAMPS[shape.serialization.get("timestampFormat", "unixtimestamp")]
        return _blob if shape.type_name == "blob" else _unchanged

    def members(self, shape: StructureShape, leave_out: frozenset[str] = frozenset()) -> _Writer:
        """Return the writer of a structure without some of its members."""
        writers = {
            name: (member.serialization.get("name", name), self.writer(member))
            for name, member in shape.members.items()
            if name not in leave_out
        }
        required = frozenset(shape.required_members) - leave_out

        def write(value: Mapping[str, Any]) -> dict[str, Any]:
            written = {}
            for name, (wire_name, writer) in writers.items():
                inner = value.get(name)
                if inner is not None:
                    written[wire_name] = writer(inner)
            for name in required:
                if value.get(name) is None:
                    raise IncompleteResponseError(f"{shape.name} lacks {name}")
            return written

        return write

    def _structure(self, shape: StructureShape) -> _Writer:
        known = self._structures.get(shape.name)
        if known is None:
            # Added before its members are compiled, as a structure may contain itself.
            def itself(value: Any) -> Any:
                return self._structures[shape.name](value)

            self._structures[shape.name] = itself
            known = self._structures[shape.name] = self.members(shape)
        return known


def _list_writer(element: _Writer) -> _Writer:
    return lambda value: [element(inner) for inner in value]


def _map_writer(element: _Writer) -> _Writer:
    return lambda value: {key: element(inner) for key, inner in value.items()}


def _unchanged(value: Any) -> Any:
    return value


def _blob(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _iso_timestamp(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


_TIMESTAMPS: dict[str, _Writer] = {
    "iso8601": _iso_timestamp,
    "rfc822": lambda value: format_datetime(value.astimezone(UTC), usegmt=True),
    "unixtimestamp": lambda value: value.timestamp(),
}
