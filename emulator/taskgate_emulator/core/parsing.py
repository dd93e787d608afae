"""Reads an HTTP request into the params of an operation; `responses.py` is the counterpart.

`compile_request` walks the input shape once, when an operation is first called, and returns a
function; what depends on a shape's type is decided then, not per value. Its input is the path
labels, query, headers and body; its output is the params as boto3's caller wrote them, checked
against every constraint of the model. It raises only `AwsError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgate_emulator.core.errors import unparsable
from taskgate_emulator.core.scalars import FROM_JSON, FROM_TEXT, TIMESTAMPS, WrongTypeError
from taskgate_emulator.core.validation import REQUIRED, Violation, compile_checks, rejection
from taskgate_server.aws.model import (
    ListShape,
    MapShape,
    OperationModel,
    Shape,
    StructureShape,
    is_document,
    is_union,
)

__all__ = ["Params", "RawRequest", "compile_request"]

Params = dict[str, Any]
"""The params of one call, as boto3's caller would write them."""

_Violations = list[Violation]
_Reader = Callable[[Any, str, _Violations], Any]
_Take = Callable[["RawRequest", dict[str, Any]], Any]
"""Returns a member from a request, or from the JSON object of its body."""

_DEFAULT_TIMESTAMP = {"querystring": "iso8601", "uri": "iso8601", "header": "rfc822"}
"""rest-json's default formats by location; the body has seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """The parts of an HTTP request, before conversion."""

    labels: Mapping[str, str]
    """Decoded parts of the path by the model's label names."""
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    """Names are case-insensitive."""
    body: bytes


def compile_request(operation: OperationModel) -> Callable[[RawRequest], Params]:
    """Return the function that reads this operation's requests.

    It raises a `ValidationException` with all violations of a request.
    """
    shape = operation.input_shape
    if shape is None:
        return lambda _raw: {}
    compiler = _Compiler()
    payload: str | None = shape.serialization.get("payload")
    members = [
        (name, _source(name, member, payload), _reader_at(compiler, name, member, payload))
        for name, member in shape.members.items()
    ]
    required = frozenset(shape.required_members)
    in_body = payload is None and any(
        "location" not in member.serialization for member in shape.members.values()
    )

    def read(raw: RawRequest) -> Params:
        document = _json_object(raw.body) if in_body else {}
        violations: _Violations = []
        params: Params = {}
        for name, take, reader in members:
            value = take(raw, document)
            if value is not None:
                params[name] = reader(value, name, violations)
            elif name in required:
                violations.append(Violation(name, REQUIRED))
        if violations:
            raise rejection(violations)
        return params

    return read


def _source(name: str, member: Shape, payload: str | None) -> _Take:
    wire_name: str = member.serialization.get("name", name)
    location = member.serialization.get("location")
    if location is not None:
        return _LOCATED[location](wire_name, member)
    if name != payload:
        return lambda _raw, document: document.get(wire_name)
    if member.type_name in {"blob", "string"}:
        return lambda raw, _document: raw.body
    return lambda raw, _document: _json_object(raw.body)


def _label_source(wire_name: str, _member: Shape) -> _Take:
    return lambda raw, _document: raw.labels.get(wire_name)


def _header_source(wire_name: str, _member: Shape) -> _Take:
    return lambda raw, _document: raw.headers.get(wire_name)


def _headers_source(prefix: str, _member: Shape) -> _Take:
    return lambda raw, _document: {
        key[len(prefix) :]: value
        for key, value in raw.headers.items()
        if key.lower().startswith(prefix.lower())
    }


def _query_source(wire_name: str, member: Shape) -> _Take:
    if isinstance(member, ListShape):
        return lambda raw, _document: raw.query.get(wire_name)
    if isinstance(member, MapShape):
        return lambda raw, _document: {key: values[-1] for key, values in raw.query.items()}
    return lambda raw, _document: raw.query[wire_name][-1] if wire_name in raw.query else None


_LOCATED: dict[str, Callable[[str, Shape], _Take]] = {
    "uri": _label_source,
    "querystring": _query_source,
    "header": _header_source,
    "headers": _headers_source,
}


def _reader_at(compiler: _Compiler, name: str, member: Shape, payload: str | None) -> _Reader:
    location = member.serialization.get("location")
    if location is not None:
        return compiler.text_reader(member, _DEFAULT_TIMESTAMP.get(location, "iso8601"))
    if name == payload and member.type_name in {"blob", "string"}:
        # A blob payload is the raw body, not base64 in JSON.
        return lambda value, _path, _violations: value
    return compiler.reader(member)


def _json_object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = json.loads(body, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise unparsable("The request body is not valid JSON") from error
    if not isinstance(document, dict):
        raise unparsable("The request body must be a JSON object")
    return document


def _reject_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


class _Compiler:
    """Builds one reader per shape and caches it, since Deadline's search filters are recursive."""

    def __init__(self) -> None:
        self._structures: dict[str, _Reader] = {}

    def reader(self, shape: Shape) -> _Reader:
        """Return the reader of a value in JSON."""
        if isinstance(shape, StructureShape) and not is_document(shape):
            known = self._structures.get(shape.name)
            if known is None:
                # Added before its members are compiled, as a structure may contain itself.
                def itself(value: Any, path: str, violations: _Violations) -> Any:
                    return self._structures[shape.name](value, path, violations)

                self._structures[shape.name] = itself
                known = self._structures[shape.name] = self._structure(shape)
            return known
        return self._checked(shape, self._convert(shape))

    def text_reader(self, shape: Shape, timestamp_format: str) -> _Reader:
        """Return the reader of a value in text: in the path, the query or a header."""
        if isinstance(shape, ListShape):
            return self._checked(shape, self._list(self.text_reader(shape.member, "iso8601")))
        if isinstance(shape, MapShape):
            return self._checked(shape, lambda value, _path, _violations: value)
        timestamp = shape.serialization.get("timestampFormat", timestamp_format)
        convert = FROM_TEXT.get(shape.type_name, FROM_JSON["string"])
        if shape.type_name == "timestamp":
            return self._checked(shape, _plain(TIMESTAMPS[timestamp]))
        return self._checked(shape, _plain(convert))

    def _checked(self, shape: Shape, convert: _Reader) -> _Reader:
        checks = compile_checks(shape)

        def read(value: Any, path: str, violations: _Violations) -> Any:
            try:
                converted = convert(value, path, violations)
            except WrongTypeError as error:
                violations.append(Violation(path, str(error)))
                return None
            for check in checks:
                message = check(converted)
                if message is not None:
                    violations.append(Violation(path, message))
            return converted

        return read

    def _convert(self, shape: Shape) -> _Reader:
        if isinstance(shape, ListShape):
            return self._list(self.reader(shape.member))
        if isinstance(shape, MapShape):
            return self._map(self.reader(shape.key), self.reader(shape.value))
        if is_document(shape):
            return lambda value, _path, _violations: value
        if shape.type_name == "timestamp":
            return _plain(TIMESTAMPS[shape.serialization.get("timestampFormat", "unixtimestamp")])
        return _plain(FROM_JSON[shape.type_name])

    def _structure(self, shape: StructureShape) -> _Reader:
        members = [
            (name, member.serialization.get("name", name), self.reader(member))
            for name, member in shape.members.items()
        ]
        required = frozenset(shape.required_members)
        union = is_union(shape)

        def read(value: Any, path: str, violations: _Violations) -> Any:
            if not isinstance(value, dict):
                violations.append(Violation(path, "Member must be an object"))
                return None
            result = {}
            for name, wire_name, reader in members:
                inner = value.get(wire_name)
                if inner is not None:
                    result[name] = reader(inner, f"{path}.{name}", violations)
                elif name in required:
                    violations.append(Violation(f"{path}.{name}", REQUIRED))
            if union and len(result) != 1:
                violations.append(Violation(path, "Member must have exactly one value set"))
            return result

        return read

    @staticmethod
    def _list(element: _Reader) -> _Reader:
        def read(value: Any, path: str, violations: _Violations) -> Any:
            if not isinstance(value, list):
                raise WrongTypeError("Member must be a list")
            return [
                element(inner, f"{path}.{position}.member", violations)
                for position, inner in enumerate(value, start=1)
            ]

        return read

    @staticmethod
    def _map(key_reader: _Reader, value_reader: _Reader) -> _Reader:
        def read(value: Any, path: str, violations: _Violations) -> Any:
            if not isinstance(value, dict):
                raise WrongTypeError("Member must be an object")
            return {
                key_reader(key, f"{path}.key", violations): value_reader(
                    inner, f"{path}.{key}.value", violations
                )
                for key, inner in value.items()
            }

        return read


def _plain(convert: Callable[[Any], Any]) -> _Reader:
    return lambda value, _path, _violations: convert(value)
