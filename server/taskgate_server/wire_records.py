"""Counts the records of a protobuf message before it is parsed.

A record is a field, an element or a map entry, at any depth, and has two bytes or more. Parsing a
map of a million entries takes 0.4 s of CPU in protobuf, which has no limit. Counting up to the
limit takes some 20 ms. https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor

MAX_RECORDS: Final = 60_000
"""In a message from a caller. The largest upload, of 10,000 parts, has 50,000."""

MIN_RECORD_BYTES: Final = 2

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = range(6)
_PAYLOAD: Final = {FIXED64: 8, FIXED32: 4, START_GROUP: 0, END_GROUP: 0}
_MAX_VARINT_BYTES: Final = 10

Table: TypeAlias = dict[int, Any]
"""The tags of a message's fields that are messages, and the tables of those messages."""


def exceeds(descriptor: Descriptor, data: bytes, limit: int = MAX_RECORDS) -> bool:
    """Return whether a serialized message has more records than the limit.

    Args:
        descriptor: of the message.
        data: the message. Malformed data never exceeds the limit, since protobuf refuses it.
        limit: number of records.
    """
    if len(data) < MIN_RECORD_BYTES * limit:
        return False
    try:
        return _count(data, _table(descriptor), limit) > limit
    except (LookupError, ValueError):
        return False


def _count(data: bytes, table: Table, limit: int) -> int:
    """Return the number of records, or one more than the limit.

    Raises:
        LookupError: the data ends within a record, or a record has an unknown type.
        ValueError: the data is malformed otherwise.
    """
    count = 0
    spans = [(0, len(data), table)]
    while spans and count <= limit:
        at, end, table = spans.pop()
        while at < end and count <= limit:
            count += 1
            tag = data[at]
            at += 1
            if tag > 0x7F:  # noqa: PLR2004  # more bytes follow
                tag, at = _varint(data, at - 1)
            kind = tag & 7
            if kind == BYTES:
                length = data[at]
                at += 1
                if length > 0x7F:  # noqa: PLR2004  # more bytes follow
                    length, at = _varint(data, at - 1)
                inner = table.get(tag)
                if inner is not None and length:
                    spans.append((at, min(at + length, end), inner))
                at += length
            elif kind == VARINT:
                _, at = _varint(data, at)
            else:
                at += _PAYLOAD[kind]
    return count


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Return the varint at a position, and the position after it."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = data[start + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004  # the last byte
            return value, start + index + 1
    raise ValueError("a varint has more than ten bytes")


@cache  # for each message of the contracts, which are few
def _table(descriptor: Descriptor) -> Table:
    return _make_table(descriptor, {})


def _make_table(descriptor: Descriptor, made: dict[str, Table]) -> Table:
    known = made.get(descriptor.full_name)
    if known is not None:
        return known
    table = made[descriptor.full_name] = {}
    for field in descriptor.fields:
        message: Any = field.message_type
        if message is not None:
            table[field.number << 3 | BYTES] = _make_table(message, made)
    return table
