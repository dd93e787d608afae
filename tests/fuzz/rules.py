"""Checks an HTTP request to AWS against botocore's model and the caller's params.

It shares no code with the server: it reads the request as AWS would, by the model's HTTP traits,
and traverses shapes and values together.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

import regex

from taskgate_server.aws import model
from tests.support.boto3_wire import Sent

_ABSENT = object()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LABEL = re.compile(r"\{(\w+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TARGET = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
"""What may be in a request line: RFC 3986, sections 2 and 3.3."""


def faults(
    operation: model.OperationModel, sent: Sent, expected: Mapping[str, Any], words: set[str]
) -> list[str]:
    """Return the faults of a request.

    Args:
        operation: that the caller called.
        sent: the request.
        expected: the caller's params in boto3's form; the whole of a streamed payload.
        words: the caller's enum values that the model does not have.
    """
    found = [f"control character in header {name}" for name in _bad_headers(sent.headers)]
    if not _TARGET.fullmatch(sent.target):
        found.append("characters in the path that need an encoding")
    path, _, query = sent.target.partition("?")
    routed = route(operation.service_model, sent.method, path)
    if [each.name for each, _ in routed] != [operation.name]:
        return [*found, f"goes to {[each.name for each, _ in routed]}"]
    labels = routed[0][1]
    shape = operation.input_shape
    if shape is None:
        return found
    try:
        value = _read(shape, sent, labels, query)
    except ValueError as error:
        return [*found, f"cannot be read: {error}"]
    walk = _Walk(words)
    walk.check(value, shape, "")
    walk.compare(expected, value, shape, "")
    return found + walk.faults


def _bad_headers(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in headers.items():
        if _CONTROL.search(name + value) or not (name + value).isascii():
            yield name


# --- Reading ------------------------------------------------------------------------------------


@cache
def _templates(
    service: model.ServiceModel, method: str, length: int
) -> list[tuple[model.OperationModel, list[str]]]:
    return [
        (operation, segments)
        for operation in model.operations(service)
        for segments in [str(operation.http["requestUri"]).split("/")]
        if operation.http["method"] == method and len(segments) == length
    ]


def route(
    service: model.ServiceModel, method: str, path: str
) -> list[tuple[model.OperationModel, dict[str, str]]]:
    """Return the operations that match a path, with its labels; the most literal ones only."""
    segments = path.split("/")
    found = []
    for operation, template in _templates(service, method, len(segments)):
        labels: dict[str, str] = {}
        literal = 0
        for part, segment in zip(template, segments, strict=True):
            label = _LABEL.fullmatch(part)
            if label is None:
                literal += 1
                if part != segment:
                    break
            else:
                # Dot segments do not survive a normalizing client, proxy or server.
                if unquote(segment) in ("", ".", ".."):
                    break
                labels[label[1]] = unquote(segment, errors="strict")
        else:
            found.append((literal, operation, labels))
    maximum = max((literal for literal, _, _ in found), default=0)
    return [(operation, labels) for literal, operation, labels in found if literal == maximum]


def _read(
    shape: model.StructureShape,
    sent: Sent,
    labels: Mapping[str, str],
    query: str,
) -> dict[str, Any]:
    """Return the members of the request from all HTTP locations."""
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    headers = {name.lower(): text for name, text in sent.headers.items()}
    value: dict[str, Any] = {}
    in_body: dict[str, str] = {}
    expected = set()
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        wire_name = member.serialization.get("name", name)
        texts = [text for key, text in pairs if key == wire_name]
        match location:
            case "uri":
                value[name] = _from_text(member, labels.get(wire_name, _ABSENT))
            case "querystring":
                expected.add(wire_name)
                value[name] = _from_query(member, texts, required=name in shape.required_members)
            case "header":
                value[name] = _from_text(member, headers.get(wire_name.lower(), _ABSENT))
            case None:
                in_body[wire_name] = name
            case _:
                raise AssertionError(f"this reader does not know {location}")
    unexpected = {key for key, _ in pairs} - expected
    if unexpected:
        raise ValueError(f"query {unexpected}")
    value |= _body(sent.body, shape.serialization.get("payload"), in_body)
    return {name: each for name, each in value.items() if each is not _ABSENT}


def _body(body: bytes, payload: str | None, names: Mapping[str, str]) -> dict[str, Any]:
    if payload is not None:
        return {payload: body}
    if not body:
        if names:
            raise ValueError("no body")
        return {}
    read = json.loads(body.decode(), parse_constant=_no_constant)
    return {names.get(key, f"no member: {key}"): each for key, each in read.items()}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} in JSON")


def _from_text(shape: model.Shape, text: Any) -> Any:
    if text is _ABSENT:
        return text
    match shape.type_name:
        case "integer" | "long":
            return int(text)
        case "boolean":
            return {"true": True, "false": False}[text]
        case "string":
            return text
    raise AssertionError(f"this reader does not know {shape.type_name} outside of bodies")


def _from_query(shape: model.Shape, texts: list[str], *, required: bool) -> Any:
    if isinstance(shape, model.ListShape):
        # An empty list and none are the same in a query, for boto3 as well.
        empty: Any = [] if required else _ABSENT
        return [_from_text(shape.member, text) for text in texts] or empty
    if len(texts) > 1:
        raise ValueError("several values in the query")
    return _from_text(shape, texts[0]) if texts else _ABSENT


# --- Checking -----------------------------------------------------------------------------------


@cache
def _pattern(shape: model.Shape) -> regex.Pattern[str] | None:
    text = shape.metadata.get("pattern")
    return regex.compile(text, regex.VERSION0) if text else None


_BITS = {"integer": 32, "long": 64}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "float": (int, float),
    "double": (int, float),
}


class _Walk:
    """Traverses a value with its shape and collects the faults."""

    def __init__(self, words: set[str]) -> None:
        self.faults: list[str] = []
        self._words = words

    def _add(self, path: str, what: str) -> None:
        self.faults.append(f"{path or 'the request'}: {what}")

    def check(self, value: Any, shape: model.Shape, path: str) -> None:
        """Check type, size, range, pattern, enum value and members."""
        if isinstance(shape, model.StructureShape):
            if not model.is_document(shape):
                self._structure(value, shape, path)
        elif isinstance(shape, model.ListShape | model.MapShape):
            self._container(value, shape, path)
        else:
            self._leaf(value, shape, path)

    def _container(self, value: Any, shape: model.ListShape | model.MapShape, path: str) -> None:
        if not self._typed(value, list if isinstance(shape, model.ListShape) else dict, path):
            return
        self._sized(len(value), shape, path)
        if isinstance(shape, model.ListShape):
            for index, each in enumerate(value):
                self.check(each, shape.member, f"{path}[{index}]")
            return
        for key, each in value.items():
            # Keys are text in the contract: a new enum word needs no other location there.
            self._words.update({key} if model.enum_values(shape.key) else ())
            self.check(key, shape.key, f"{path} key")
            self.check(each, shape.value, f"{path}.*")

    def _typed(self, value: Any, kind: type | tuple[type, ...], path: str) -> bool:
        if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
            return True
        self._add(path, f"is a {type(value).__name__}")
        return False

    def _sized(self, size: float, shape: model.Shape, path: str) -> None:
        low, high = shape.metadata.get("min", -math.inf), shape.metadata.get("max", math.inf)
        if not low <= size <= high:
            self._add(path, f"{size} not in {low} to {high}")

    def _structure(self, value: Any, shape: model.StructureShape, path: str) -> None:
        if not self._typed(value, dict, path):
            return
        names = {str(each.serialization.get("name", name)) for name, each in shape.members.items()}
        assert names <= set(shape.members) or not path, f"{shape.name} renames members"
        for name in value.keys() - set(shape.members):
            self._add(path, f"has {name!r}, which the model has not")
        for name in shape.required_members:
            if value.get(name) is None and not model.is_document(shape.members[name]):
                self._add(path, f"lacks {name}")
        if model.is_union(shape) and len(value) != 1:
            self._add(path, f"is a union with {len(value)} members")
        for name, member in shape.members.items():
            if name in value:
                self.check(value[name], member, f"{path}.{name}")

    def _leaf(self, value: Any, shape: model.Shape, path: str) -> None:
        kind = shape.type_name
        if kind == "timestamp":
            _moment(value)
        elif kind == "blob":
            size = len(value) if isinstance(value, bytes) else len(base64.b64decode(value))
            self._sized(size, shape, path)
        elif self._typed(value, _TYPES[kind], path):
            if kind == "string":
                self._text(value, shape, path)
            elif kind != "boolean":
                self._number(value, shape, path)

    def _number(self, value: float, shape: model.Shape, path: str) -> None:
        self._sized(value, shape, path)
        bits = _BITS.get(shape.type_name)
        out = bits is not None and not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
        if out or not math.isfinite(value):
            self._add(path, "does not fit its type")

    def _text(self, value: str, shape: model.Shape, path: str) -> None:
        words = model.enum_values(shape)
        if words:
            if value not in words and value not in self._words:
                self._add(path, "is a word that neither model nor caller has")
            return
        self._sized(len(value), shape, path)
        pattern = _pattern(shape)
        if pattern is not None and not pattern.fullmatch(value):
            self._add(path, f"does not match {pattern.pattern}")

    # --- Against the caller's own words -----------------------------------------------------------

    def compare(self, expected: Any, sent: Any, shape: model.Shape, path: str) -> None:
        """Check that the sent value equals the caller's."""
        if isinstance(shape, model.StructureShape) and not model.is_document(shape):
            for name, member in shape.members.items():
                self._compare_member(expected, sent, name, (shape, member), f"{path}.{name}")
        elif isinstance(shape, model.ListShape) and len(expected) == len(sent):
            for index, (one, other) in enumerate(zip(expected, sent, strict=True)):
                self.compare(one, other, shape.member, f"{path}[{index}]")
        elif isinstance(shape, model.MapShape) and expected.keys() == sent.keys():
            for key in expected:
                self.compare(expected[key], sent[key], shape.value, f"{path}.*")
        elif not _same(expected, sent, shape):
            self._add(path, f"{sent!r:.200} was sent for {expected!r:.200}")

    def _compare_member(
        self,
        expected: Any,
        sent: Any,
        name: str,
        shapes: tuple[model.StructureShape, model.Shape],
        path: str,
    ) -> None:
        shape, member = shapes
        if name in expected and name in sent:
            self.compare(expected[name], sent[name], member, path)
        elif name in expected:
            in_query = member.serialization.get("location") == "querystring"
            # boto3 itself sends neither an empty list in a query nor a document that is null.
            if not (in_query and expected[name] == []) and expected[name] is not None:
                self._add(path, "was requested, but not sent")
        elif name in sent:
            filled = sent[name] in ([], {}) and name in shape.required_members
            if not filled and not model.is_idempotency_token(member):
                self._add(path, "was sent, but not requested")


def _same(expected: Any, sent: Any, shape: model.Shape) -> bool:
    if shape.type_name == "timestamp":
        return bool(expected == _moment(sent))
    if shape.type_name == "blob" and isinstance(sent, str):
        return bool(expected == base64.b64decode(sent, validate=True))
    return _equal(expected, sent)


def _equal(expected: Any, sent: Any) -> bool:
    """Compare like ==, but distinguish True from 1 at any depth."""
    if isinstance(expected, dict) and isinstance(sent, dict):
        return expected.keys() == sent.keys() and all(
            _equal(expected[key], sent[key]) for key in expected
        )
    if isinstance(expected, list) and isinstance(sent, list):
        pairs = zip(expected, sent, strict=False)
        return len(expected) == len(sent) and all(_equal(one, other) for one, other in pairs)
    return bool(expected == sent) and isinstance(expected, bool) == isinstance(sent, bool)


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return _EPOCH + timedelta(seconds=value)
