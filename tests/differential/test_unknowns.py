"""Words and members that are newer than the model: nothing of them is lost, in both directions."""

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
    WireAnswer,
)

WORD, MEMBER = "NEW_WORD", "newMember"
KEY = 'a "quoted" key'
ELEMENT, ENTRY = "[]", "{}"
STRUCTURES_OF_EACH_KIND = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A member of some structure, and the way to it from an operation's output."""

    operation: model.OperationModel
    steps: tuple[str, ...]
    structure: str
    member: str
    shape: model.Shape
    kind: str

    def __str__(self) -> str:
        way = ".".join((*self.steps, self.member))
        return f"{operation_id(self.operation)}-{self.kind}-{way}"

    def answer(self, value: Any) -> dict[str, Any]:
        """An answer with nothing but the value at this place."""
        inner: Any = {self.member: value}
        for step in reversed(self.steps):
            inner = {ELEMENT: [inner], ENTRY: {"key": inner}}.get(step, {step: inner})
        return dict(inner)

    def holder(self, response: Any) -> Any:
        """The message that holds the member."""
        for step in self.steps:
            if step not in (ELEMENT, ENTRY):
                response = getattr(response, mirror.field_of(response, step).name)
                continue
            if isinstance(response, Message):  # a wrapper
                response = response.values  # type: ignore[attr-defined]  # of generated messages
            response = response[0 if step == ELEMENT else "key"]
        return response


def places(operation: model.OperationModel) -> Iterator[Place]:
    """Every place of an output where an enum or a union is, nearest first."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), operation.output_shape)]
    seen: set[str] = set()
    for steps, shape in waiting:  # grows as it is walked
        if isinstance(shape, model.ListShape):
            waiting.append(((*steps, ELEMENT), shape.member))
        elif isinstance(shape, model.MapShape):
            waiting.append(((*steps, ENTRY), shape.value))
        elif isinstance(shape, model.StructureShape) and shape.name not in seen:
            seen.add(shape.name)
            for name, member in shape.members.items():
                waiting.append(((*steps, name), member))
                kind = kind_of(member)
                if kind:
                    yield Place(
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


def first_of_each_kind() -> list[Place]:
    """A few different structures for each kind and service."""
    found: dict[tuple[str, str, str], Place] = {}
    kinds: Counter[tuple[str, str]] = Counter()
    for operation in OPERATIONS:
        for place in places(operation):
            kind = service_of(operation), place.kind
            key = (*kind, place.structure)
            if key not in found and kinds[kind] < STRUCTURES_OF_EACH_KIND:
                kinds[kind] += 1
                found[key] = place
    return list(found.values())


PLACES = first_of_each_kind()
ENUMS = [pytest.param(place, id=str(place)) for place in PLACES if "enum" in place.kind]
UNIONS = [pytest.param(place, id=str(place)) for place in PLACES if "union" in place.kind]


def test_every_kind_is_somewhere_in_the_models() -> None:
    assert {place.kind for place in PLACES} >= {
        *("enum", "list of enum", "list of map of enum"),
        *("union", "list of union", "map of union"),
    }


def response_to(place: Place, exchange: Exchange, value: Any) -> Any:
    operation = place.operation
    params = Synthesizer(wire=False).params(operation, FULL)
    answer = WireAnswer(status=operation.http["responseCode"], body=place.answer(value))
    outcome = exchange.grpc(operation, request_message(operation, params), answer)
    assert outcome.error is None
    return outcome.result


def around(shape: model.Shape, unknown: Any, known: Any) -> tuple[Any, str, list[Any]]:
    """The unknown among known ones in every container, its path, and the way down to it."""
    if isinstance(shape, model.ListShape):
        inner, path, way = around(shape.member, unknown, known)
        if isinstance(shape.member, model.ListShape | model.MapShape):
            return [inner], path, [0, *way]
        return [known, unknown, known], "[1]", [1]
    if isinstance(shape, model.MapShape):
        return {"known": known, KEY: unknown}, f"[{json.dumps(KEY)}]", [KEY]
    return unknown, "", []


def element_shape(shape: model.Shape) -> model.Shape:
    if isinstance(shape, model.ListShape):
        return element_shape(shape.member)
    return element_shape(shape.value) if isinstance(shape, model.MapShape) else shape


@pytest.mark.parametrize("place", ENUMS)
def test_unknown_word_is_under_its_path(place: Place, exchange: Exchange) -> None:
    enum = element_shape(place.shape)
    value, path, way = around(place.shape, WORD, model.enum_values(enum)[-1])

    holder = place.holder(response_to(place, exchange, value))

    field = mirror.field_of(holder, place.member)
    name = field.name
    if len(way) > 1:  # a list or map in a list: the words are in a wrapper's `values`
        holder, name = getattr(holder, name)[way[0]], "values"
    assert dict(holder.unrecognized_values) == {f"{name}{path}": WORD}
    if not way:
        assert not holder.HasField(name)
        return
    container = getattr(holder, name)
    others = container.values() if isinstance(way[-1], str) else container
    assert sorted(map(bool, others)) == [False] + [True] * (len(others) - 1)
    assert container[way[-1]] == 0


@pytest.mark.parametrize("place", UNIONS)
def test_unknown_union_member_is_named(place: Place, exchange: Exchange) -> None:
    union = element_shape(place.shape)
    known = {name: Synthesizer(wire=True).value(each, MINIMAL) for name, each in first(union)}
    value, _, way = around(place.shape, {MEMBER: {"any": 1}, "__type": None}, known)

    holder = place.holder(response_to(place, exchange, value))

    message = getattr(holder, mirror.field_of(holder, place.member).name)
    others = list(message.values()) if isinstance(message, dict) else []
    for step in way:
        message = message[step]
    assert message.WhichOneof("value") == "unknown_member"
    assert message.unknown_member == MEMBER
    assert all(other.WhichOneof("value") for other in others)


def first(union: model.Shape) -> list[tuple[str, model.Shape]]:
    assert isinstance(union, model.StructureShape)
    return list(union.members.items())[:1]


@pytest.mark.parametrize("operation", EVERY)
def test_everything_unknown_at_once(operation: model.OperationModel, exchange: Exchange) -> None:
    """boto3 lets every word through, so it is the judge here as well."""
    synthesizers = Synthesizer(wire=False), Synthesizer(wire=True)

    assert not exchange.compare(operation, synthesizers, UNKNOWN)


@pytest.mark.parametrize("operation", EVERY)
def test_unrecognized_values_are_sent(operation: model.OperationModel, exchange: Exchange) -> None:
    params = Synthesizer(wire=False).params(operation, UNKNOWN)
    request = request_message(operation, params)
    answer = Synthesizer(wire=True).answer(operation, MINIMAL)

    outcome = exchange.grpc(operation, request, answer)

    assert outcome.error is None
    assert outcome.sent is not None
    words = list(unrecognized(request))
    assert sorted(words) == sorted(unknown_words(params))
    sent = f"{outcome.sent.raw_path}?{outcome.sent.query} {outcome.sent.body.decode()}"
    assert [word for word in words if word not in sent] == []


def unrecognized(message: Message) -> Iterator[str]:
    """Every word in every `unrecognized_values`."""
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
    """The words in parameters. Keys of maps are plain text in the contract: not counted."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from unknown_words(each)
    elif str(value).startswith(UNKNOWN_WORD):
        yield value


def test_word_at_a_stray_path_is_refused(exchange: Exchange) -> None:
    for operation, request in requests_with_enums():
        request.unrecognized_values["nowhere[3]"] = WORD

        outcome = exchange.grpc(operation, request, WireAnswer(status=200))

        assert outcome.sent is None
        assert violations(outcome.error) == ['unrecognized_values["nowhere[3]"]']


def test_word_for_a_field_that_is_set_is_refused(exchange: Exchange) -> None:
    for operation, request in requests_with_enums():
        name = next(
            field.name
            for field, _ in request.ListFields()
            if field.enum_type is not None and not field.is_repeated
        )
        request.unrecognized_values[name] = WORD

        outcome = exchange.grpc(operation, request, WireAnswer(status=200))

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
