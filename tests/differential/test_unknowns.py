"""Enum values and members that are newer than the model survive in both directions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc_status import rpc_status

from taskgate_server.aws import model
from tests.support.contract import mirror
from tests.support.contract.exchange import (
    EVERY,
    OPERATIONS,
    Exchange,
    operation_id,
    request_message,
    service_of,
)
from tests.support.contract.synthesis import (
    FULL,
    MINIMAL,
    UNKNOWN,
    UNKNOWN_WORD,
    Synthesizer,
    WireResponse,
)

WORD, MEMBER = "NEW_WORD", "newMember"
KEY = 'a "quoted" key'
ELEMENT, ENTRY = "[]", "{}"
STRUCTURES_OF_EACH_KIND = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A member of some structure, and its path in an operation's output."""

    operation: model.OperationModel
    steps: tuple[str, ...]
    structure: str
    member: str
    shape: model.Shape
    kind: str

    def __str__(self) -> str:
        keys = ".".join((*self.steps, self.member))
        return f"{operation_id(self.operation)}-{self.kind}-{keys}"

    def response(self, value: Any) -> dict[str, Any]:
        """Return a response with only the value at this location."""
        inner: Any = {self.member: value}
        for step in reversed(self.steps):
            inner = {ELEMENT: [inner], ENTRY: {"key": inner}}.get(step, {step: inner})
        return dict(inner)

    def holder(self, response: Any) -> Any:
        """Return the message that has the member."""
        for step in self.steps:
            if step not in (ELEMENT, ENTRY):
                response = getattr(response, mirror.field_of(response, step).name)
                continue
            if isinstance(response, Message):  # a wrapper
                response = response.values  # type: ignore[attr-defined]  # of generated messages
            response = response[0 if step == ELEMENT else "key"]
        return response


def locations(operation: model.OperationModel) -> Iterator[Location]:
    """Yield every location of an enum or union in an output, nearest first."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), operation.output_shape)]
    visited: set[str] = set()
    for steps, shape in waiting:  # grows as it is walked
        if isinstance(shape, model.ListShape):
            waiting.append(((*steps, ELEMENT), shape.member))
        elif isinstance(shape, model.MapShape):
            waiting.append(((*steps, ENTRY), shape.value))
        elif isinstance(shape, model.StructureShape) and shape.name not in visited:
            visited.add(shape.name)
            for name, member in shape.members.items():
                waiting.append(((*steps, name), member))
                kind = kind_of(member)
                if kind:
                    yield Location(
                        operation=operation,
                        steps=steps,
                        structure=shape.name,
                        member=name,
                        shape=member,
                        kind=kind,
                    )


def kind_of(shape: model.Shape) -> str:
    if isinstance(shape, model.ListShape):
        inner = kind_of(shape.member)
        return f"list of {inner}" if inner else ""
    if isinstance(shape, model.MapShape):
        inner = kind_of(shape.value)
        return f"map of {inner}" if inner else ""
    if model.enum_values(shape):
        return "enum"
    return "union" if model.is_union(shape) else ""


def first_of_each_kind() -> list[Location]:
    """Return a few different structures for each kind and service."""
    found: dict[tuple[str, str, str], Location] = {}
    kinds: Counter[tuple[str, str]] = Counter()
    for operation in OPERATIONS:
        for location in locations(operation):
            kind = service_of(operation), location.kind
            key = (*kind, location.structure)
            if key not in found and kinds[kind] < STRUCTURES_OF_EACH_KIND:
                kinds[kind] += 1
                found[key] = location
    return list(found.values())


LOCATIONS = first_of_each_kind()
ENUMS = [
    pytest.param(location, id=str(location)) for location in LOCATIONS if "enum" in location.kind
]
UNIONS = [
    pytest.param(location, id=str(location)) for location in LOCATIONS if "union" in location.kind
]


def test_every_kind_is_somewhere_in_the_models() -> None:
    assert {location.kind for location in LOCATIONS} >= {
        *("enum", "list of enum", "list of map of enum"),
        *("union", "list of union", "map of union"),
    }


def response_to(location: Location, exchange: Exchange, value: Any) -> Any:
    operation = location.operation
    params = Synthesizer(wire=False).params(operation, FULL)
    response = WireResponse(status=operation.http["responseCode"], body=location.response(value))
    outcome = exchange.grpc(operation, request_message(operation, params), response)
    assert outcome.error is None
    return outcome.result


def around(shape: model.Shape, unknown: Any, known: Any) -> tuple[Any, str, list[Any]]:
    """Return the unknown value among known ones in every container, its path, and its keys."""
    if isinstance(shape, model.ListShape):
        inner, path, keys = around(shape.member, unknown, known)
        if isinstance(shape.member, model.ListShape | model.MapShape):
            return [inner], path, [0, *keys]
        return [known, unknown, known], "[1]", [1]
    if isinstance(shape, model.MapShape):
        return {"known": known, KEY: unknown}, f"[{json.dumps(KEY)}]", [KEY]
    return unknown, "", []


def element_shape(shape: model.Shape) -> model.Shape:
    if isinstance(shape, model.ListShape):
        return element_shape(shape.member)
    return element_shape(shape.value) if isinstance(shape, model.MapShape) else shape


@pytest.mark.parametrize("location", ENUMS)
def test_unknown_enum_value_is_stored_under_its_path(
    location: Location, exchange: Exchange
) -> None:
    enum = element_shape(location.shape)
    value, path, keys = around(location.shape, WORD, model.enum_values(enum)[-1])

    holder = location.holder(response_to(location, exchange, value))

    field = mirror.field_of(holder, location.member)
    name = field.name
    if len(keys) > 1:  # a list or map in a list: the words are in a wrapper's `values`
        holder, name = getattr(holder, name)[keys[0]], "values"
    assert dict(holder.unrecognized_values) == {f"{name}{path}": WORD}
    if not keys:
        assert not holder.HasField(name)
        return
    container = getattr(holder, name)
    others = container.values() if isinstance(keys[-1], str) else container
    assert sorted(map(bool, others)) == [False] + [True] * (len(others) - 1)
    assert container[keys[-1]] == 0


@pytest.mark.parametrize("location", UNIONS)
def test_unknown_union_member_is_named(location: Location, exchange: Exchange) -> None:
    union = element_shape(location.shape)
    known = {
        name: Synthesizer(wire=True).value(each, MINIMAL) for name, each in first_member(union)
    }
    value, _, keys = around(location.shape, {MEMBER: {"any": 1}, "__type": None}, known)

    holder = location.holder(response_to(location, exchange, value))

    message = getattr(holder, mirror.field_of(holder, location.member).name)
    others = list(message.values()) if isinstance(message, dict) else []
    for step in keys:
        message = message[step]
    assert message.WhichOneof("value") == "unknown_member"
    assert message.unknown_member == MEMBER
    assert all(other.WhichOneof("value") for other in others)


def first_member(union: model.Shape) -> list[tuple[str, model.Shape]]:
    assert isinstance(union, model.StructureShape)
    return list(union.members.items())[:1]


@pytest.mark.parametrize("operation", EVERY)
def test_everything_unknown_at_once(operation: model.OperationModel, exchange: Exchange) -> None:
    """boto3 accepts every enum value, so it is the oracle here as well."""
    synthesizers = Synthesizer(wire=False), Synthesizer(wire=True)

    assert not exchange.compare(operation, synthesizers, UNKNOWN)


@pytest.mark.parametrize("operation", EVERY)
def test_unrecognized_values_are_sent(operation: model.OperationModel, exchange: Exchange) -> None:
    params = Synthesizer(wire=False).params(operation, UNKNOWN)
    request = request_message(operation, params)
    response = Synthesizer(wire=True).response(operation, MINIMAL)

    outcome = exchange.grpc(operation, request, response)

    assert outcome.error is None
    assert outcome.sent is not None
    words = list(unrecognized(request))
    assert sorted(words) == sorted(unknown_words(params))
    sent = f"{outcome.sent.raw_path}?{outcome.sent.query} {outcome.sent.body.decode()}"
    assert [word for word in words if word not in sent] == []


def unrecognized(message: Message) -> Iterator[str]:
    """Yield every value in every `unrecognized_values`."""
    for field, value in message.ListFields():
        if field.name == "unrecognized_values":
            yield from value.values()
        elif field.message_type is None or field.message_type.full_name.startswith("google."):
            continue
        elif field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for each in value.values():
                    yield from unrecognized(each)
        else:
            for each in value if field.is_repeated else [value]:
                yield from unrecognized(each)


def unknown_words(value: Any) -> Iterator[str]:
    """Yield the unknown values in params, except keys of maps, which are text in the contract."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from unknown_words(each)
    elif str(value).startswith(UNKNOWN_WORD):
        yield value


def test_enum_value_at_an_unknown_path_is_rejected(exchange: Exchange) -> None:
    for operation, request in requests_with_enums():
        request.unrecognized_values["nowhere[3]"] = WORD

        outcome = exchange.grpc(operation, request, WireResponse(status=200))

        assert outcome.sent is None
        assert violations(outcome.error) == ['unrecognized_values["nowhere[3]"]']


def test_enum_value_for_a_set_field_is_rejected(exchange: Exchange) -> None:
    for operation, request in requests_with_enums():
        name = next(
            field.name
            for field, _ in request.ListFields()
            if field.enum_type is not None and not field.is_repeated
        )
        request.unrecognized_values[name] = WORD

        outcome = exchange.grpc(operation, request, WireResponse(status=200))

        assert outcome.sent is None
        assert violations(outcome.error) == [f'unrecognized_values["{name}"]']


def requests_with_enums() -> list[tuple[model.OperationModel, Any]]:
    found: list[tuple[model.OperationModel, Any]] = []
    for operation in OPERATIONS:
        request = request_message(operation, Synthesizer(wire=False).params(operation, FULL))
        enums = [field for field in request.DESCRIPTOR.fields if field.enum_type is not None]
        if any(not field.is_repeated for field in enums):
            found.append((operation, request))
    assert found
    return found[:5]


def violations(error: Any) -> list[str]:
    assert error.code() is StatusCode.INVALID_ARGUMENT
    status: Any = rpc_status.from_call(error)
    for packed in status.details:
        bad = error_details_pb2.BadRequest()
        if packed.Unpack(bad):
            return [violation.field for violation in bad.field_violations]
    return []
