"""Messages of any type with random content: everything that proto3's JSON format can represent."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from tests.support.contract import mirror, values

MAX_DEPTH = 4
SHARE_OF_FIELDS = 0.7

_TEXTS = ("", "x", "häß 日本語 😀", '"\\\n\u2028', "null", "1")
_BITS32 = (0, 1, -1, 2**31 - 1, -(2**31))
_BITS64 = (*_BITS32, 2**53 + 1, 2**63 - 1, -(2**63))
_DOUBLES = (0.0, -0.0, 1.5, 1e300, 5e-324, 7.0, float("nan"), float("inf"), float("-inf"))
_UNKNOWN_NUMBER = 9_999

_SCALARS: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
    FieldDescriptor.CPPTYPE_INT32: _BITS32,
    FieldDescriptor.CPPTYPE_INT64: _BITS64,
    FieldDescriptor.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 1, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: _DOUBLES,
    FieldDescriptor.CPPTYPE_FLOAT: (0.0, 1.5, float("nan"), float("-inf")),
}


def fill(message: Any, random: Random, depth: int = 0) -> None:
    """Set some of a message's fields, and of the messages in it."""
    if _fill_well_known(message, random):
        return
    for field in _chosen(message.DESCRIPTOR, random):
        if field.message_type is not None and depth >= MAX_DEPTH:
            continue
        if not field.is_repeated:
            _set(message, field, random, depth)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(getattr(message, field.name), field.message_type, random, depth)
        else:
            _extend(getattr(message, field.name), field, random, depth)


def _chosen(descriptor: Descriptor, random: Random) -> list[FieldDescriptor]:
    chosen = [each for each in descriptor.fields if each.containing_oneof is None]
    chosen += [random.choice(oneof.fields) for oneof in descriptor.oneofs]
    return [each for each in chosen if random.random() < SHARE_OF_FIELDS]


def _set(message: Any, field: FieldDescriptor, random: Random, depth: int) -> None:
    if field.message_type is None:
        setattr(message, field.name, _scalar(field, random))
    else:
        inner = getattr(message, field.name)
        inner.SetInParent()
        fill(inner, random, depth + 1)


def _extend(values: Any, field: FieldDescriptor, random: Random, depth: int) -> None:
    for _ in range(random.randrange(3)):
        if field.message_type is None:
            values.append(_scalar(field, random))
        else:
            fill(values.add(), random, depth + 1)


def _fill_map(entries: Any, entry: Descriptor, random: Random, depth: int) -> None:
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    for _ in range(random.randrange(3)):
        at = _scalar(key, random)
        if value.message_type is None:
            entries[at] = _scalar(value, random)
        else:
            fill(entries[at], random, depth + 1)


def _scalar(field: FieldDescriptor, random: Random) -> Any:
    if field.enum_type is not None:
        numbers = [value.number for value in field.enum_type.values]
        # There is no other null than null.
        return random.choice(numbers if len(numbers) == 1 else [*numbers, _UNKNOWN_NUMBER])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return random.randbytes(random.randrange(5))
    if field.type == FieldDescriptor.TYPE_STRING:
        return random.choice(_TEXTS)
    return random.choice(_SCALARS[field.cpp_type])


def _fill_well_known(message: Any, random: Random) -> bool:
    """Fill a message that has a JSON form of its own; return whether it is one."""
    match message.DESCRIPTOR.full_name:
        case "google.protobuf.Any":
            message.Pack(_detail(random))
        case "google.protobuf.Duration":
            message.seconds = random.choice((0, 1, 315_576_000_000))
            message.nanos = random.choice((0, 1, 250_000_000)) if message.seconds < 2 else 0
        case "google.protobuf.FieldMask":
            message.paths.extend(random.sample(("name", "create_time", "a.b_c"), 2))
        case "google.protobuf.Struct":
            mirror.write_document(message.fields["any"], values.document(random, wire=False))
        case "google.protobuf.ListValue":
            mirror.write_document(message.values.add(), values.document(random, wire=False))
        case "google.protobuf.Timestamp":
            message.seconds = random.choice((0, -62_135_596_800, 253_402_300_799))
            message.nanos = random.choice((0, 1, 999_999_999, 250_000_000))
        case "google.protobuf.Value":
            mirror.write_document(message, values.document(random, wire=False))
        case _:
            return False
    return True


def _detail(random: Random) -> Message:
    if random.random() < 0.5:
        return Duration(seconds=5)
    info: Message = error_details_pb2.ErrorInfo(reason="ANY_REASON", metadata={"a": "b"})
    return info
