"""The most expensive messages of a given size that a caller can send, from a message's descriptor.

Each attack is a name, and what makes the bytes of a request. They are written as protobuf's wire
format, since building a million submessages in Python would take longer than serving them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.support.wire_format import BYTES, VARINT, varint

Attack: TypeAlias = tuple[str, Callable[[], bytes]]

DOCUMENT = "google.protobuf.Value"
STRUCT, LIST, NUMBER = 5, 6, 2  # fields of google.protobuf.Value
UNKNOWN_FIELD = 15
"""The largest number whose tag has one byte: as many of them as can be are in a message."""
VALID_COUNT = 19_000
"""Elements for which a container stays within the limits on records and values."""
PRINTABLE = [bytes([code]) for code in range(0x21, 0x7F)]


def record(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def repeated(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


@cache
def distinct(count: int) -> list[bytes]:
    """Different short keys."""
    texts = (b"".join(each) for n in range(1, 5) for each in itertools.product(PRINTABLE, repeat=n))
    return list(itertools.islice(texts, count))


def entries(number: int, value: bytes, size: int, count: int = 10**9) -> bytes:
    """A map's entries with different keys: so many, or as many as have room."""
    made = bytearray()
    for key in distinct(min(count, size // 6)):
        entry = record(number, record(1, key) + value)
        if len(made) + len(entry) > size:
            break
        made += entry
    return bytes(made)


def attacks(descriptor: Descriptor, size: int, seen: set[str] | None = None) -> Iterator[Attack]:
    """Every attack on a message, and on the messages in it.

    Args:
        descriptor: of the message.
        size: bytes that it may have.
        seen: names of messages that need not be attacked again; grows.
    """
    seen = set() if seen is None else seen
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        for name, make in field_attacks(field, size, seen):
            yield f"{descriptor.name}.{field.name}: {name}", make
    for name, make in unknown_fields(size):
        yield f"{descriptor.name}: {name}", make


def unknown_fields(size: int) -> Iterator[Attack]:
    tag = varint(UNKNOWN_FIELD << 3 | VARINT)
    text = record(UNKNOWN_FIELD, b"")
    group = varint(UNKNOWN_FIELD << 3 | 3) + varint(UNKNOWN_FIELD << 3 | 4)
    yield "unknown numbers", lambda: repeated(tag + b"\0", size)
    yield "unknown texts", lambda: repeated(text, size)
    yield "unknown groups", lambda: repeated(group, size)
    yield "few unknown", lambda: repeated(tag + b"\0", 4000)


def field_attacks(field: FieldDescriptor, size: int, seen: set[str]) -> Iterator[Attack]:
    message: Any = field.message_type
    if message is not None and message.GetOptions().map_entry:
        yield from map_attacks(field.number, message, size, seen)
    elif message is not None:
        yield from message_attacks(field, message, size, seen)
    elif field.enum_type is not None and field.is_repeated:
        yield from enum_attacks(field.number, size)
    elif field.type == FieldDescriptor.TYPE_STRING:
        yield from text_attacks(field, size)


def map_attacks(number: int, entry: Descriptor, size: int, seen: set[str]) -> Iterator[Attack]:
    of: Any = entry.fields_by_name["value"].message_type
    value = record(2, b"") if of is not None else b""
    yield "one key again and again", lambda: repeated(record(number, b""), size)
    yield "different keys", lambda: entries(number, value, size)
    yield "many keys", lambda: entries(number, value, size, VALID_COUNT)
    yield "a long key", lambda: record(number, record(1, b"k" * (size - 20)) + value)
    if of is not None:
        for name, make in attacks(of, size - 32, seen):
            yield f"in a value: {name}", wrapped(make, number, record(1, b"key"), 2)


def wrapped(
    make: Callable[[], bytes], number: int, before: bytes, inner: int
) -> Callable[[], bytes]:
    """What makes the attack inside a map's entry."""
    return lambda: record(number, before + record(inner, make()))


def inside(make: Callable[[], bytes], number: int) -> Callable[[], bytes]:
    """What makes the attack inside a field."""
    return lambda: record(number, make())


def message_attacks(
    field: FieldDescriptor, message: Descriptor, size: int, seen: set[str]
) -> Iterator[Attack]:
    empty = record(field.number, b"")
    yield "empty messages", lambda: repeated(empty, size)
    if field.is_repeated:
        yield "many empty messages", lambda: empty * VALID_COUNT
    inner = document_attacks if message.full_name == DOCUMENT else attacks
    for name, make in inner(message, size - 16, seen):
        yield f"in it: {name}", inside(make, field.number)


def document_attacks(_: Descriptor, size: int, __: set[str]) -> Iterator[Attack]:
    room = size - 16
    nan = record(1, varint(NUMBER << 3 | 1) + b"\0\0\0\0\0\0\xf8\x7f")
    one = record(1, varint(NUMBER << 3 | 1) + b"\0\0\0\0\0\0\xf0\x3f")
    empty_list = record(1, record(LIST, b""))
    yield "a list of nothing", lambda: record(LIST, repeated(record(1, b""), room))
    yield "a list of lists", lambda: record(LIST, repeated(empty_list, room))
    yield "an object", lambda: record(STRUCT, entries(1, b"", room))
    yield "a list of NaN", lambda: record(LIST, repeated(nan, room))
    yield "many numbers", lambda: record(LIST, one * 28_000)
    yield "many members", lambda: record(STRUCT, entries(1, b"", room, 28_000))
    yield "many lists", lambda: record(LIST, record(1, record(LIST, record(1, b""))) * 19_000)
    yield "deep lists", lambda: record(LIST, repeated(record(1, deep(48, b"")), room))
    yield "deep with long keys", lambda: deep(12, b"k" * (room // 13))


def deep(levels: int, key: bytes) -> bytes:
    """Lists in lists; with a key, each of them in an object."""
    value = b""
    for _ in range(levels):
        value = record(LIST, record(1, value))
        if key:
            value = record(STRUCT, record(1, record(1, key) + record(2, value)))
    return value


def enum_attacks(number: int, size: int) -> Iterator[Attack]:
    for name, word in (("zero", b"\0"), ("first", b"\1"), ("unknown", b"\x7f")):
        yield f"packed {name}", inside(partial(repeated, word, size - 16), number)
        yield f"many {name}", inside(partial(repeated, word, VALID_COUNT), number)
    yield "unpacked", lambda: repeated(varint(number << 3 | VARINT) + b"\0", size)


def text_attacks(field: FieldDescriptor, size: int) -> Iterator[Attack]:
    room, number = size - 16, field.number
    empty, name = record(number, b""), record(number, field.name.encode())
    yield "a long text", lambda: record(number, b"a" * room)
    # `.+/.+` takes time that grows with the square of the length of these.
    yield "slashes", lambda: record(number, b"a/" * (room // 2 - 1) + b"\n")
    yield "4096 slashes", lambda: record(number, b"a/" * 2047 + b"\n")
    yield "wide characters", lambda: record(number, "\U0001f600".encode() * (room // 4))
    if field.is_repeated:
        yield "empty texts", lambda: repeated(empty, size)
        yield "many texts", lambda: record(number, b"a") * VALID_COUNT
        yield "texts of 40", lambda: repeated(record(number, b"/" * 40), size)
        yield "its own name", lambda: repeated(name, size)
