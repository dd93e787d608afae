"""Requests of any operation as bytes: valid ones from the synthesis, randomly mutated.

First fields of the message are changed, so that it is well-formed but invalid; then perhaps its
bytes, so that it is not a message, or a different one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz.inprocess import Target
from tests.fuzz.texts import DOUBLES, INTEGERS, PATH_TRICKS, odd_text
from tests.support import wire_format
from tests.support.contract import mirror
from tests.support.contract.synthesis import FULL, MINIMAL, UNKNOWN, Synthesizer, Variant

VARIANTS = (
    *(FULL, MINIMAL, Variant(seed=3), UNKNOWN),
    *(Variant(seed=seed) for seed in range(7, 15)),
)
_DEPTHS = (1, 5, 20, 30, 45, 48, 49, 50, 60, 95, 97, 98, 99, 100, 101, 150, 400, 2_000)

_NUMBERS: dict[int, tuple[float, ...]] = {
    FieldDescriptor.CPPTYPE_INT32: tuple(each for each in INTEGERS if -(2**31) <= each < 2**31),
    FieldDescriptor.CPPTYPE_INT64: INTEGERS,
    FieldDescriptor.CPPTYPE_DOUBLE: DOUBLES,
}

Change: TypeAlias = Callable[[Any, Random], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The request messages of one call."""

    target: Target
    messages: list[bytes]
    how: list[str]
    """The mutations, in order."""


class RequestCases:
    """Generates cases; its caches do not affect them."""

    def __init__(self, targets: list[Target]) -> None:
        self.targets = targets
        self._synthesizers: dict[str, Synthesizer] = defaultdict(lambda: Synthesizer(wire=False))
        self._valid: dict[str, list[Message]] = defaultdict(list)

    def valid(self, target: Target, number: int) -> Message:
        """Return one of a few valid requests of an operation, the same each time."""
        made = self._valid[str(target)]
        while len(made) <= number:
            # In order: enum words and union members take turns within a synthesizer.
            params = self._synthesizers[str(target)].params(target.model, VARIANTS[len(made)])
            message = target.operation.request_class()
            if target.model.input_shape is not None:
                mirror.write(message, target.model.input_shape, params)
            made.append(message)
        return made[number]

    def case(self, index: int, random: Random) -> Case:
        """Return the case of an index; operations take turns."""
        target = self.targets[index % len(self.targets)]
        message = type(self.valid(target, 0))()
        message.CopyFrom(self.valid(target, random.randrange(len(VARIANTS))))
        other = random.choice(self.targets)
        donor = self.valid(random.choice((target, other)), random.randrange(3))
        how: list[str] = []
        if random.random() < 0.75:
            for _ in range(random.choice((1, 1, 2, 4))):
                change = random.choice(_CHANGES)
                change(message, random)
                how.append(change.__name__.strip("_"))
        data = message.SerializeToString()
        if random.random() < 0.35:
            data = _changed_bytes(data, random, donor.SerializeToString(), how)
        deep = _recursion(target.operation.request_class.DESCRIPTOR)
        if deep is not None and random.random() < 0.3:
            data += wire_format.dump([(deep[0], wire_format.BYTES, _nested(deep[1], random))])
            how.append("deep")
        messages = [data]
        if target.method.client_streaming:
            messages = self._stream(data, random, donor)
            how.append(f"{len(messages)} messages")
        return Case(target=target, messages=messages, how=how)

    def _stream(self, first: bytes, random: Random, donor: Message) -> list[bytes]:
        if random.random() < 0.05:
            return []
        # Payload alone is right after the first one; anything else is refused.
        payload = type(donor)()
        if "payload" in payload.DESCRIPTOR.fields_by_name:
            payload.payload = random.randbytes(random.choice((0, 1, 1_000, 5_000)))  # type: ignore[attr-defined]  # the field was looked up above
        rest = (payload.SerializeToString(), donor.SerializeToString(), b"", b"\xff")
        weights = (20, 1, 2, 1)
        return [first, *random.choices(rest, weights, k=random.randrange(4))]


def _changed_bytes(data: bytes, random: Random, donor: bytes, how: list[str]) -> bytes:
    kind = random.random()
    if kind < 0.7:
        how.append("records")
        for _ in range(random.choice((1, 1, 2, 3))):
            data = wire_format.mutate(data, random, donor)
        return data
    change = random.choices(
        (wire_format.flip_bits, wire_format.truncate, wire_format.garbage), (6, 3, 1)
    )[0]
    how.append(change.__name__)
    return change(data, random)


# --- Depth ----------------------------------------------------------------------------------------


@cache
def _recursion(descriptor: Descriptor) -> tuple[int, list[int]] | None:
    """A field of the message whose type can be inside itself, and by which fields it gets there."""
    for field in descriptor.fields:
        if field.message_type is not None:
            path_to_it = _field_path(field.message_type, field.message_type, ())
            if path_to_it is not None:
                return field.number, list(path_to_it)
    return None


def _field_path(
    start: Descriptor, goal: Descriptor, visited: tuple[Descriptor, ...]
) -> tuple[int, ...] | None:
    for field in start.fields:
        target = field.message_type
        if target is None or target in visited:
            continue
        if target is goal:
            return (field.number,)
        further = _field_path(target, goal, (*visited, target))
        if further is not None:
            return (field.number, *further)
    return None


def _nested(path_to_it: list[int], random: Random) -> bytes:
    return wire_format.wrapped(path_to_it, random.choice(_DEPTHS), b"")


# --- Changes of a message -------------------------------------------------------------------------


def messages_in(message: Any) -> Iterator[Any]:
    """Yield the message and all messages inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield from messages_in(value)
        elif not field.message_type.GetOptions().map_entry:
            for each in value:
                yield from messages_in(each)
        elif field.message_type.fields_by_name["value"].message_type is not None:
            for key in sorted(value):
                yield from messages_in(value[key])


def _fields(
    message: Any, random: Random, accepts: Callable[[FieldDescriptor], bool], *, unset: bool = True
) -> tuple[Any, FieldDescriptor] | None:
    """Choose a message inside the message, and one of its fields."""
    found = [
        (each, field)
        for each in messages_in(message)
        for field in (
            each.DESCRIPTOR.fields if unset else [field for field, _ in each.ListFields()]
        )
        if accepts(field)
    ]
    return random.choice(found) if found else None


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING


def _odd_text(message: Any, random: Random) -> None:
    found = _fields(message, random, _is_text, unset=random.random() < 0.2)
    if found is None:
        return
    inside, field = found
    value = getattr(inside, field.name)
    if field.is_repeated and value:
        at = random.randrange(len(value))
        value[at] = odd_text(random, value[at])
    elif field.is_repeated:
        value.append(odd_text(random))
    else:
        setattr(inside, field.name, odd_text(random, value))


def _path_trick(message: Any, random: Random) -> None:
    """Change strings of the outermost message, which contains the path's members."""
    texts = [
        field for field in message.DESCRIPTOR.fields if _is_text(field) and not field.is_repeated
    ]
    for field in texts:
        if random.random() < 0.5:
            before = getattr(message, field.name)
            trick = random.choice(PATH_TRICKS)
            setattr(message, field.name, random.choice((trick, before + trick, trick + before)))


def _odd_number(message: Any, random: Random) -> None:
    found = _fields(message, random, lambda field: field.cpp_type in _NUMBERS)
    if found is None:
        return
    inside, field = found
    value = random.choice(_NUMBERS[field.cpp_type])
    _put(inside, field, value)


def _put(inside: Any, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        getattr(inside, field.name).append(value)
    else:
        setattr(inside, field.name, value)


def _odd_enum(message: Any, random: Random) -> None:
    found = _fields(
        message,
        random,
        lambda field: field.enum_type is not None and "NullValue" not in field.enum_type.name,
    )
    if found is None:
        return
    inside, field = found
    number = random.choice((0, 0, 1, 2, 99, -1, 2**31 - 1, -(2**31)))
    _put(inside, field, number)
    if "unrecognized_values" in inside.DESCRIPTOR.fields_by_name and random.random() < 0.7:
        paths = (field.name, f"{field.name}[0]", field.name, f'{field.name}["x"]', field.name)
        inside.unrecognized_values[random.choice(paths)] = odd_text(random, "NEW_WORD")


def _odd_path(message: Any, random: Random) -> None:
    """Add valid and invalid entries to `unrecognized_values` and `empty_members`."""
    names = ("unrecognized_values", "empty_members")
    found = _fields(message, random, lambda field: field.name in names)
    if found is None:
        return
    inside, field = found
    name = random.choice(inside.DESCRIPTOR.fields).name
    spelled = (name, name, f"{name}[0]", f"{name}[-1]", f"{name}[", f"{name}[{json.dumps(name)}]")
    path = random.choice((*spelled, "", "value", f"{name}.{name}", odd_text(random, name)))
    if field.name == names[1]:
        inside.empty_members.append(path)
        if random.random() < 0.5 and name not in names:
            inside.ClearField(name)
    else:
        inside.unrecognized_values[path] = odd_text(random, "NEW_WORD")


def _remove(message: Any, random: Random) -> None:
    found = _fields(message, random, lambda _: True, unset=False)
    if found is not None:
        found[0].ClearField(found[1].name)


def _empty_union(message: Any, random: Random) -> None:
    found = _fields(message, random, lambda field: field.containing_oneof is not None)
    if found is None:
        return
    inside, field = found
    oneof = field.containing_oneof
    assert oneof is not None
    if oneof.name == "value" and random.random() < 0.5:
        inside.ClearField("value")
    elif "unknown_member" in inside.DESCRIPTOR.fields_by_name:
        inside.unknown_member = odd_text(random, "newMember")


def _lengthen(message: Any, random: Random) -> None:
    found = _fields(
        message, random, lambda field: field.is_repeated and not _is_map(field), unset=False
    )
    if found is not None:
        values = getattr(found[0], found[1].name)
        count = random.choice((1, 2, 50, 101))
        values.extend([values[random.randrange(len(values))]] * count)


def _odd_keys(message: Any, random: Random) -> None:
    found = _fields(message, random, _is_map)
    if found is None:
        return
    inside, field = found
    entry = field.message_type
    assert entry is not None
    value, container = entry.fields_by_name["value"], getattr(inside, field.name)
    for _ in range(random.choice((1, 1, 3, 60))):
        key = odd_text(random, random.choice(sorted(container) or ["key"]))[:2_000]
        if value.message_type is not None:
            container.get_or_create(key)
        else:
            container[key] = odd_text(random) if _is_text(value) else random.choice((0, 1, 99))


def _appear(message: Any, random: Random) -> None:
    """Set an absent message to an empty one."""
    found = _fields(
        message, random, lambda field: field.message_type is not None and not _is_map(field)
    )
    if found is None:
        return
    inside, field = found
    value = getattr(inside, field.name)
    value.add() if field.is_repeated else value.SetInParent()


def _odd_moment(message: Any, random: Random) -> None:
    moments = [each for each in messages_in(message) if each.DESCRIPTOR.name == "Timestamp"]
    if moments:
        moment = random.choice(moments)
        moment.seconds = random.choice((*INTEGERS, -62_135_596_800, -62_135_596_801, 253402300800))
        moment.nanos = random.choice((0, 1, 1_000, 999_999_999, 999_999_000, -1_000, 2**31 - 1))


def _odd_document(message: Any, random: Random) -> None:
    values = [each for each in messages_in(message) if each.DESCRIPTOR.name == "Value"]
    for value in random.sample(values, min(len(values), 2)):
        match random.randrange(5):
            case 0:
                value.number_value = random.choice((*DOUBLES, *INTEGERS))
            case 1:
                value.string_value = odd_text(random)
            case 2:
                value.Clear()
            case 3:
                value.struct_value.fields[odd_text(random, "key")].null_value = 0
            case 4:
                for _ in range(random.choice((1, 10, 30, 48))):
                    value = value.list_value.values.add()  # noqa: PLW2901  # one deeper


_CHANGES: tuple[Change, ...] = (
    *(_odd_text, _odd_text, _path_trick, _path_trick, _odd_number, _odd_enum, _odd_path, _remove),
    *(_empty_union, _lengthen, _odd_keys, _appear, _odd_moment, _odd_document),
)
