"""Responses with one value that does not fit AWS's model, made from a seed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from taskgate_server.aws import model
from tests.support.contract.synthesis import FULL, Synthesizer, Variant

Key: TypeAlias = str | int

DEEP = 200
VALUES: tuple[Any, ...] = (
    None,
    *(True, False, 0, 7, -1, 1.5, 2**31, 2**60, -(2**70), 1e308),
    *("", "x", "7", "true", "NaN", "half a pair: \ud800", "\udc00\ud800", "é😀"),
    *("10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2016-12-31T23:59:60Z"),
    *("2016-12-31T24:00:00Z", "2022-11-30", "2022-11-30T10:00:00Z  ", "2022-11-30 10:00:00 UTC"),
    *([], {}, [None], ["a", None], {"a": None}, {"a": 1}, [[1]]),
    *({"seed": 2**60}, {"seed": [{"deep": -(2**60)}]}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OddResponse:
    """A response of AWS, as JSON text."""

    body: bytes
    path: tuple[Key, ...]
    """The location of the odd value, by member names."""
    value: str
    """The odd value, shortened."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A location in a response."""

    holder: Any
    key: Key
    """In the holder."""
    path: tuple[Key, ...]


def odd_response(operation: model.OperationModel, random: Random) -> OddResponse | None:
    """Generate a response with one odd value, or None if the operation's has no JSON body."""
    shape = operation.output_shape
    variant = random.choice((FULL, Variant(seed=random.randrange(100))))
    body = copy.deepcopy(Synthesizer(wire=True).response(operation, variant).body)
    if shape is None or not isinstance(body, dict):
        return None
    slots = list(_slots(body, shape, ()))
    if not slots:
        return None
    slot = random.choice(slots)
    value = random.choice((*VALUES, "deep"))
    if value == "deep":
        slot.holder[slot.key] = "@@deep@@"
        text = json.dumps(body).replace('"@@deep@@"', "[" * DEEP + "]" * DEEP)
    else:
        slot.holder[slot.key] = value
        text = json.dumps(body)
    return OddResponse(body=text.encode(), path=slot.path, value=repr(value)[:60])


def _slots(value: Any, shape: model.Shape, path: tuple[Key, ...]) -> Iterator[Slot]:
    """Yield all locations; a document counts as one."""
    for key, name, target in _children(value, shape):
        yield Slot(value, key, (*path, name))
        yield from _slots(value[key], target, (*path, name))


def _children(value: Any, shape: model.Shape) -> Iterator[tuple[Key, Key, model.Shape]]:
    """Yield the keys in a value, boto3's names for them, and their shapes."""
    if isinstance(shape, model.ListShape) and isinstance(value, list):
        yield from ((index, index, shape.member) for index in range(len(value)))
    elif isinstance(shape, model.MapShape) and isinstance(value, dict):
        yield from ((key, key, shape.value) for key in value)
    elif isinstance(shape, model.StructureShape) and isinstance(value, dict):
        for name, target in shape.members.items():
            key = target.serialization.get("name", name)
            if "location" not in target.serialization and key in value:
                yield key, name, target


def without(value: Any, path: tuple[Key, ...]) -> Any:
    """Replace the value at a path by a mark, if the path exists."""
    if not path:
        return "(the odd value)"
    key, rest = path[0], path[1:]
    if isinstance(value, dict) and key in value:
        return {**value, key: without(value[key], rest)}
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return [*value[:key], without(value[key], rest), *value[key + 1 :]]
    if isinstance(value, dict) and not rest:
        return {**value, key: "(the odd value)"}  # left out, by one or both
    return value
