"""Mutations of protobuf's wire format: bytes that no serializer would write.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Record: TypeAlias = tuple[int, int, bytes]
"""Field number, wire type, and the value; of a length-delimited one without its length."""

_NUMBERS = (0, 1, 15, 16, 100, 1_000, 18_999, 19_000, 2**29 - 1)
_VARINTS = tuple(
    value for bits in (0, 1, 7, 31, 32, 53, 63, 64) for value in (2**bits - 1, 2**bits % 2**64)
)
BAD_UTF8 = (b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"a\xfeb")


def varint(value: int) -> bytes:
    """Encode a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def dump(records: Sequence[Record]) -> bytes:
    """Encode records as a message."""
    parts = []
    for number, kind, value in records:
        parts.append(varint(number << 3 | kind))
        if kind == BYTES:
            parts.append(varint(len(value)))
        parts.append(value)
    return b"".join(parts)


def parse(data: bytes) -> list[Record] | None:
    """Decode the records of a message; return None for invalid bytes."""
    records: list[Record] = []
    at = 0
    while at < len(data):
        read = _varint(data, at)
        if read is None:
            return None
        number, kind = read[0] >> 3, read[0] & 7
        place = _place(data, read[1], kind)
        if number == 0 or place is None or place.stop > len(data):
            return None
        records.append((number, kind, data[place]))
        at = place.stop
    return records


def _place(data: bytes, at: int, kind: int) -> slice | None:
    """Return the slice of the value whose tag ends at `at`."""
    if kind in (FIXED64, FIXED32):
        return slice(at, at + (8 if kind == FIXED64 else 4))
    read = _varint(data, at) if kind in (BYTES, VARINT) else None
    if read is None:
        return None
    return slice(at, read[1]) if kind == VARINT else slice(read[1], read[1] + read[0])


def _varint(data: bytes, at: int) -> tuple[int, int] | None:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return None
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return None


def wrapped(numbers: Sequence[int], depth: int, core: bytes) -> bytes:
    """Wrap `core` in `depth` levels of messages at the fields `numbers`, outermost first."""
    data = core
    for _ in range(depth):
        for number in reversed(numbers):
            data = dump([(number, BYTES, data)])
    return data


# --- Mutations of any bytes -----------------------------------------------------------------------


def flip_bits(data: bytes, random: Random) -> bytes:
    """Flip some bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8)) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    """Return the beginning of the data."""
    return data[: random.randrange(len(data) + 1)]


def garbage(_: bytes, random: Random) -> bytes:
    """Return random bytes."""
    return random.randbytes(random.choice((1, 2, 8, 64, 1_000)))


# --- Mutations of records -------------------------------------------------------------------------

Mutate: TypeAlias = Callable[[list[Record], Random, list[Record]], None]
"""Changes the records of one message in place; the last argument has those of another message."""


def _at(records: list[Record], random: Random) -> int:
    return random.randrange(len(records))


def _remove(records: list[Record], random: Random, _: list[Record]) -> None:
    del records[_at(records, random)]


def _duplicate(records: list[Record], random: Random, _: list[Record]) -> None:
    at = _at(records, random)
    records[at:at] = [records[at]] * random.choice((1, 1, 2, 50, 101, 300))


def _shuffle(records: list[Record], random: Random, _: list[Record]) -> None:
    random.shuffle(records)


def _transplant(records: list[Record], random: Random, other: list[Record]) -> None:
    if other:
        records.insert(_at(records, random), random.choice(other))


def _renumber(records: list[Record], random: Random, _: list[Record]) -> None:
    at = _at(records, random)
    near = random.randrange(1, 24)
    records[at] = (random.choice((near, *_NUMBERS[1:])), *records[at][1:])


def _retype(records: list[Record], random: Random, _: list[Record]) -> None:
    at = _at(records, random)
    records[at] = (records[at][0], *_value(random))


def _value(random: Random) -> tuple[int, bytes]:
    kind = random.choice((VARINT, FIXED64, BYTES, FIXED32))
    if kind == VARINT:
        return kind, varint(random.choice(_VARINTS))
    length = {FIXED64: 8, FIXED32: 4}.get(kind, random.choice((0, 1, 8, 40)))
    return kind, random.randbytes(length)


def _unknown(records: list[Record], random: Random, _: list[Record]) -> None:
    number = random.choice((*_NUMBERS, 5_000, 77_777))
    records.insert(_at(records, random), (number, *_value(random)))


def _bad_utf8(records: list[Record], random: Random, _: list[Record]) -> None:
    texts = [at for at, record in enumerate(records) if record[1] == BYTES]
    if texts:
        at = random.choice(texts)
        number, kind, value = records[at]
        where = random.randrange(len(value) + 1)
        bad = random.choice(BAD_UTF8)
        records[at] = (number, kind, value[:where] + bad + value[where:])


def _extreme(records: list[Record], random: Random, _: list[Record]) -> None:
    numbers = [at for at, record in enumerate(records) if record[1] == VARINT]
    if numbers:
        at = random.choice(numbers)
        records[at] = (records[at][0], VARINT, varint(random.choice(_VARINTS)))


_MUTATIONS: tuple[Mutate, ...] = (
    *(_remove, _duplicate, _shuffle, _transplant, _renumber, _retype, _unknown, _bad_utf8),
    _extreme,
)


def mutate(data: bytes, random: Random, other: bytes) -> bytes:
    """Change one record of a message, or of a message inside it, and correct the lengths."""
    records = parse(data)
    if not records:
        return data
    inner = [
        at
        for at, (_, kind, value) in enumerate(records)
        if kind == BYTES and len(value) > 1 and parse(value)
    ]
    if inner and random.random() < 0.5:
        at = random.choice(inner)
        number, kind, value = records[at]
        records[at] = (number, kind, mutate(value, random, other))
    else:
        random.choice(_MUTATIONS)(records, random, parse(other) or [])
    return dump(records)
