"""AWS's responses to any operation, randomly mutated: their JSON, bytes and headers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeAlias

from taskgate_server.aws import model
from tests.fuzz import response_parts as parts
from tests.fuzz.inprocess import MARKER, Target
from tests.support.boto3_wire import AwsResponse, to_aws_response
from tests.support.contract.exchange import errors_of
from tests.support.contract.synthesis import (
    BARE,
    FULL,
    MINIMAL,
    UNKNOWN,
    Synthesizer,
    Variant,
    WireResponse,
)

VARIANTS = (FULL, MINIMAL, BARE, UNKNOWN, *(Variant(seed=seed) for seed in range(7, 11)))
Slot: TypeAlias = tuple[Any, Any]
"""A dict or list, and a key or index of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """AWS's response to a valid request."""

    target: Target
    response: AwsResponse
    how: list[str]


class ResponseCases:
    """Generates cases; its caches do not affect them."""

    def __init__(self, targets: list[Target]) -> None:
        self.targets = targets
        self._synthesizers: dict[str, Synthesizer] = defaultdict(lambda: Synthesizer(wire=True))
        self._valid: dict[str, list[WireResponse]] = defaultdict(list)

    def _valid_response(self, target: Target, number: int) -> WireResponse:
        made = self._valid[str(target)]
        while len(made) <= number:
            synthesizer = self._synthesizers[str(target)]
            made.append(synthesizer.response(target.model, VARIANTS[len(made)]))
        return made[number]

    def case(self, index: int, random: Random) -> Case:
        """Return the case of an index; operations take turns."""
        target = self.targets[index % len(self.targets)]
        how: list[str] = []
        errors = errors_of(target.model)
        if random.random() < 0.65 or not errors:
            shape, response = (
                target.model.output_shape,
                self._valid_response(target, random.randrange(8)),
            )
        else:
            shape = random.choice(errors)
            name = random.choice(
                (shape.name, shape.name, f"{shape.name}:http://x/", f"a#{shape.name}")
            )
            variant = random.choice((FULL, MINIMAL, Variant(seed=random.randrange(9))))
            response = Synthesizer(wire=True).error(shape, variant, name)
            how.append(shape.name)
        body = response.body
        if isinstance(body, dict):
            tree = _with_marker(body, shape, random) if shape is not None else dict(body)
            body = self._written(tree, _documents(shape), random, how)
        changed = self._changed_bytes(body, random, how)
        made = to_aws_response(response, changed)
        if random.random() < 0.3:
            made = replace(made, headers=_odd_headers(list(made.headers), random, how))
        if random.random() < 0.2:
            made = replace(made, status=random.choice(parts.STATUSES))
            how.append(f"status {made.status}")
        return Case(target=target, response=made, how=how)

    def _written(
        self, tree: dict[str, Any], documents: set[str], random: Random, how: list[str]
    ) -> bytes:
        raw: list[str] = []
        if random.random() < 0.6:
            times = random.choice((1, 1, 2, 4))
            how.extend([_changed(tree, documents, random, raw) for _ in range(times)])
        text = json.dumps(tree, ensure_ascii=random.random() < 0.5)
        for number, token in reversed(list(enumerate(raw))):  # later ones hold earlier ones
            text = text.replace(f'"{_raw_name(number)}"', token)
        # Not all of Unicode: what `ensure_ascii` leaves may be half of a pair.
        return text.encode("utf-8", "surrogatepass")

    def _changed_bytes(self, body: bytes, random: Random, how: list[str]) -> bytes:
        if random.random() < 0.7:
            return body
        kind = random.choice(tuple(parts.BYTE_CHANGES))
        how.append(kind)
        if kind == "huge" and random.random() < 0.97:
            return body  # 10 MB take their time
        return parts.BYTE_CHANGES[kind](body, random)


# --- JSON -----------------------------------------------------------------------------------------


def _raw_name(number: int) -> str:
    return f"@@raw{number}@@"


def _raw(token: str, raw: list[str]) -> str:
    """Return a placeholder for JSON text that no serializer would write."""
    raw.append(token)
    return _raw_name(len(raw) - 1)


def _slots(value: Any) -> Iterator[Slot]:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _slots(value[key])


def _changed(tree: Any, documents: set[str], random: Random, raw: list[str]) -> str:
    """Change the tree in place once; return the name of the change."""
    slots = list(_slots(tree))
    if not slots:
        tree[random.choice(("message", "", "x", "nextToken"))] = _odd_value(random, raw)
        return "added"
    holder, key = random.choice(slots)
    open_ended = [slot for slot in slots if slot[1] in documents]
    kind = random.choice(("removed", "null", "again", "inserted", "deep", "wrapped", "odd", "odd"))
    if kind == "removed":
        del holder[key]
    elif kind == "null":
        holder[key] = None
    elif kind == "again" and isinstance(holder, dict):
        text = json.dumps({key: holder[key]})[:-1]
        again = json.dumps(random.choice((holder[key], None, 5, "x", [], {})))
        holder[key] = _raw(f"{text}, {json.dumps(key)}: {again}}}", raw)
    elif kind == "inserted":
        _insert(holder, key, random, raw)
    elif kind == "deep":
        _deepen(random.choice(open_ended) if open_ended else (holder, key), random, raw)
    elif kind == "wrapped":
        holder[key] = [holder[key]] if random.random() < 0.5 else {"value": holder[key]}
    else:
        holder[key] = _odd_value(random, raw)
    return kind


def _deepen(slot: Slot, random: Random, raw: list[str]) -> None:
    depth = random.choice(parts.DEPTHS)
    before, after = random.choice((("[", "]"), ('{"a":', "}"), ('[{"":', "}]")))
    slot[0][slot[1]] = _raw(before * depth + "1" + after * depth, raw)


def _insert(holder: Any, key: Any, random: Random, raw: list[str]) -> None:
    value = random.choice((holder[key], _odd_value(random, raw)))
    if isinstance(holder, list):
        holder.insert(key, value)
    else:
        holder[random.choice(("", "__type", "message", f"{key}2", str(key).upper(), "é"))] = value


def _odd_value(random: Random, raw: list[str]) -> Any:
    if random.random() < 0.6:
        return _raw(random.choice(parts.TOKENS), raw)
    return random.choice(parts.VALUES)()


def _documents(shape: model.StructureShape | None) -> set[str]:
    """Return the names of members that may hold any JSON."""
    if shape is None:
        return set()
    return {
        name
        for each in _structures(shape, set())
        for name, member in each.members.items()
        if model.is_document(getattr(member, "value", member))
    }


def _structures(shape: model.Shape, visited: set[str]) -> Iterator[model.StructureShape]:
    if isinstance(shape, model.ListShape):
        yield from _structures(shape.member, visited)
    elif isinstance(shape, model.MapShape):
        yield from _structures(shape.value, visited)
    elif isinstance(shape, model.StructureShape) and shape.name not in visited:
        visited.add(shape.name)
        yield shape
        for member in shape.members.values():
            yield from _structures(member, visited)


def _with_marker(value: Any, shape: model.Shape, random: Random) -> Any:
    """Return a copy with the marker in all sensitive texts, and in some others."""
    if isinstance(value, dict) and model.is_document(shape):
        return {**value, "marker": MARKER}
    if isinstance(value, dict) and isinstance(shape, model.StructureShape):
        return {
            name: _with_marker(each, shape.members[name], random) if name in shape.members else each
            for name, each in value.items()
        }
    if isinstance(value, dict) and isinstance(shape, model.MapShape):
        return {key: _with_marker(each, shape.value, random) for key, each in value.items()}
    if isinstance(value, list) and isinstance(shape, model.ListShape):
        return [_with_marker(each, shape.member, random) for each in value]
    if isinstance(value, str) and shape.type_name == "string":
        likely = 1.0 if model.is_sensitive(shape) else 0.05 if model.enum_values(shape) else 0.3
        if random.random() < likely:
            return MARKER + value
    return value


# --- Headers --------------------------------------------------------------------------------------


def _odd_headers(
    headers: list[tuple[str, str]], random: Random, how: list[str]
) -> list[tuple[str, str]]:
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(tuple(parts.HEADERS))
        value = random.choice(parts.HEADERS[name])
        headers = [each for each in headers if each[0].lower() != name.lower()]
        if value is not None:
            headers.append((name, value))
        how.append(f"{name}: {value!r:.40}")
    return headers
