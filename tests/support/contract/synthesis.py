"""Params and responses of any operation, generated from botocore's model and a seed.

`Synthesizer.params` returns boto3's params, `Synthesizer.response` what AWS sends over HTTP:
status, headers and body. Both satisfy the model: required members, lengths, ranges, patterns, enum
values. The values of each enum and the members of each union take turns, so the variants of one
synthesizer cover all of them; `everything_used` is true when they have.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from taskgate_server.aws import model
from tests.support.contract import values
from tests.support.seeds import VOLUME, examples, seeded, varied

RECURSION_LIMIT = 3
"""The maximum nesting of structures with one name."""

UNKNOWN_WORD = "brand-new_WORD"
"""Replaces every enum value in variants with `unknown`; numbered, so that each differs."""

UNKNOWN_MEMBER = "brandNewMember"
"""The member of every union, and one more of every structure, in responses with `unknown`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to fill the shapes."""

    seed: int
    members: str = "some"
    """Which optional members are present: "all", "some" at random, or "required" ones only."""
    unknown: bool = False
    """Whether enum values and union members are unknown to the model."""
    bare: bool = False
    """Whether even required members are omitted, as AWS sometimes does in responses."""


FULL = Variant(seed=0, members="all")
MINIMAL = Variant(seed=1, members="required")
BARE = Variant(seed=2, members="required", bare=True)
_SEEDS = (*range(3, 3 + examples(3)), *range(1000, 1000 + 3 * (VOLUME - 1)))
RANDOM = tuple(Variant(seed=seed) for seed in _SEEDS)
"""One by default, three with a given seed, and three more for each further unit of `VOLUME`."""
UNKNOWN = Variant(seed=6, members="all", unknown=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireResponse:
    """A response of AWS in HTTP's form."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | dict[str, Any] = b""


class _Turns:
    """Returns choices in turn, and records which have been used."""

    def __init__(self, choices: Iterable[str]) -> None:
        self.left = dict.fromkeys(choices)
        self._queue = list(self.left)

    def take(self, allowed: Iterable[str] | None = None) -> str:
        permitted = set(self._queue if allowed is None else allowed)
        choice = next(each for each in self._queue if each in permitted)
        self._queue.remove(choice)
        self._queue.append(choice)
        self.left.pop(choice, None)
        return choice


class Synthesizer:
    """Generates values of shapes: with `wire` in JSON's and HTTP's form, else in boto3's."""

    def __init__(self, *, wire: bool) -> None:
        self._wire = wire
        self._turns: dict[str, _Turns] = {}
        self._stack: list[str] = []
        self._variant = FULL
        self._random = seeded("before any variant")
        self._unknown_words = 0

    @property
    def everything_used(self) -> bool:
        """Whether each enum value and union member encountered so far has been used."""
        return not any(turns.left for turns in self._turns.values())

    def params(self, operation: model.OperationModel, variant: Variant) -> dict[str, Any]:
        """Return params in boto3's form."""
        self._start(variant)
        shape = operation.input_shape
        if shape is None:
            return {}
        params: dict[str, Any] = self._structure(shape)
        if variant.members == "required":
            # boto3 makes up an absent idempotency token, required or not.
            for name in operation.idempotent_members:
                params.pop(name, None)
        return params

    def response(self, operation: model.OperationModel, variant: Variant) -> WireResponse:
        """Return AWS's response to an operation."""
        self._start(variant)
        status: int = operation.http.get("responseCode", 200)  # absent in AWS's JSON protocol
        if operation.output_shape is None or status == 204:
            return WireResponse(status=status)
        return self._located(operation.output_shape, status, {})

    def error(self, shape: model.StructureShape, variant: Variant, error_type: str) -> WireResponse:
        """Return the response with which AWS reports a modelled error."""
        self._start(variant)
        status: int = shape.metadata["error"]["httpStatusCode"]
        return self._located(shape, status, {"x-amzn-ErrorType": error_type})

    def value(self, shape: model.Shape, variant: Variant) -> Any:
        """Return a value of any shape."""
        self._start(variant)
        return self._value(shape)

    def _start(self, variant: Variant) -> None:
        self._variant = variant
        self._random = Random(varied(variant.seed))  # noqa: S311  # the same values in each run

    def _located(
        self, shape: model.StructureShape, status: int, headers: dict[str, str]
    ) -> WireResponse:
        """Move members to their HTTP locations: status, headers and body."""
        body = self._structure(shape)
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            wire_name = member.serialization.get("name", name)
            if location is None or wire_name not in body:
                continue
            value = body.pop(wire_name)
            if location == "statusCode":
                status = self._random.choice((200, 202)) if status < 300 else status
            elif location == "headers":
                headers |= {f"{wire_name}{key}": text for key, text in (value or {}).items()}
            elif value is not None:
                headers[wire_name] = _header(member, value)
        payload = shape.serialization.get("payload")
        if payload is None:
            return WireResponse(status=status, headers=headers, body=body)
        member = shape.members[payload]
        content = _payload(member, body.get(member.serialization.get("name", payload)))
        return WireResponse(status=status, headers=headers, body=content)

    def _value(self, shape: model.Shape, location: str | None = None) -> Any:
        if isinstance(shape, model.ListShape):
            return [self._value(shape.member, location) for _ in range(self._size(shape))]
        if isinstance(shape, model.MapShape):
            keys = [self._key(shape, location) for _ in range(self._size(shape))]
            inside = "header" if location == "headers" else None
            return {key: self._value(shape.value, inside) for key in keys}
        if model.is_document(shape):
            return values.document(self._random, wire=self._wire)
        if isinstance(shape, model.StructureShape):
            return self._structure(shape)
        return self._leaf(shape, location)

    def _key(self, shape: model.MapShape, location: str | None) -> str:
        if location != "headers":
            return str(self._value(shape.key))
        return self._random.choice(("one", "another-1"))

    def _leaf(self, shape: model.Shape, location: str | None) -> Any:
        if model.enum_values(shape):
            return self._word(shape)
        if shape.type_name == "timestamp":
            return self._random.choice(values.TIMESTAMP_TEXTS if self._wire else values.MOMENTS)
        if shape.type_name == "blob":
            blob = self._random.choice((b"", b"\x00\xff\xfe", bytes(range(256))))
            blob = blob.ljust(shape.metadata.get("min", 0), b"x")[: shape.metadata.get("max")]
            return base64.b64encode(blob).decode() if self._wire else blob
        return values.scalar(shape, self._random, location, wire=self._wire)

    def _structure(self, shape: model.StructureShape) -> dict[str, Any]:
        if model.is_union(shape) and self._wire and self._variant.unknown:
            return {UNKNOWN_MEMBER: {"any": ["thing", 1]}}
        self._stack.append(shape.name)
        try:
            chosen = self._chosen(shape)
            made: dict[str, Any] = {}
            for name, member in shape.members.items():
                wire_name = member.serialization.get("name", name) if self._wire else name
                if name in chosen:
                    location = member.serialization.get("location")
                    made[wire_name] = self._value(member, location)
                elif self._wire and self._random.random() < 0.1:
                    # AWS sends null for absent members, also beside a union's only one.
                    made[wire_name] = None
            if self._wire and self._variant.unknown:
                made[UNKNOWN_MEMBER] = {"any": ["thing", 1]}
            return made
        finally:
            self._stack.pop()

    def _chosen(self, shape: model.StructureShape) -> set[str]:
        allowed = [name for name, each in shape.members.items() if not self._too_deep(each)]
        if model.is_union(shape):
            return {self._turn(shape.name, list(shape.members), allowed)}
        if self._variant.bare and self._wire:  # boto3 would not send such a request
            return set()
        required = set(shape.required_members)
        if self._variant.members == "required":
            return required
        optional = [name for name in allowed if name not in required]
        if self._variant.members == "some":
            optional = [name for name in optional if self._random.random() < 0.5]
        return required.union(optional)

    def _too_deep(self, shape: model.Shape) -> bool:
        inside = _structures_in(shape)
        return any(self._stack.count(name) >= RECURSION_LIMIT for name in inside)

    def _size(self, shape: model.ListShape | model.MapShape) -> int:
        low: int = shape.metadata.get("min", 0)
        high: int = shape.metadata.get("max", 100)
        element = shape.member if isinstance(shape, model.ListShape) else shape.value
        match self._variant.members:
            case "required":
                return low
            case "some":
                return self._random.randint(low, min(high, low + 2))
        wanted = 2
        if isinstance(element, model.StructureShape) and model.is_union(element):
            wanted = max(wanted, len(element.members))
        elif model.enum_values(element):
            wanted = max(wanted, len(model.enum_values(element)))
        # A list in a list in a list would be large without showing anything new.
        return max(low, min(high, wanted if len(self._stack) < 6 else 1))

    def _word(self, shape: model.Shape) -> str:
        if self._variant.unknown:
            self._unknown_words += 1
            return f"{UNKNOWN_WORD}{self._unknown_words}"
        return self._turn(shape.name, model.enum_values(shape))

    def _turn(self, name: str, choices: list[str], allowed: list[str] | None = None) -> str:
        return self._turns.setdefault(name, _Turns(choices)).take(allowed)


def _header(shape: model.Shape, value: Any) -> str:
    """Return the text of a header."""
    if model.is_document(shape):
        return base64.b64encode(json.dumps(value).encode()).decode()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _payload(shape: model.Shape, value: Any) -> bytes | dict[str, Any]:
    """Return the body that is a member."""
    if shape.type_name == "blob":
        return base64.b64decode(value or "")
    if shape.type_name == "string":
        return str(value or "").encode()
    return value if isinstance(value, dict) else json.dumps(value or {}).encode()


@cache
def _structures_in(shape: model.Shape) -> frozenset[str]:
    """Return the names of the structures that a value of the shape may contain, at any depth."""
    found: set[str] = set()
    waiting: list[model.Shape] = [shape]
    while waiting:
        each = waiting.pop()
        if isinstance(each, model.ListShape):
            waiting.append(each.member)
        elif isinstance(each, model.MapShape):
            waiting.append(each.value)
        elif isinstance(each, model.StructureShape) and each.name not in found:
            found.add(each.name)
            waiting.extend(each.members.values())
    return frozenset(found)
