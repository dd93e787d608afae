"""Requests that violate one constraint of AWS's model: one value of a valid request is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import regex
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from taskgate_server.aws import model
from tests.support.contract import mirror, patterns
from tests.support.contract.exchange import OPERATIONS, method_of, operation_id
from tests.support.contract.synthesis import FULL, Synthesizer

MISSING = object()
KEY = "key"
MAX_TEXT = 5_000
"""Greater bounds are not tested: longer texts show nothing that shorter ones do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One value in the params."""

    route: tuple[Any, ...]
    """Its keys and indexes in boto3's params."""
    path: str
    """Its path in the caller's message."""
    owner: str
    shape: model.Shape
    required: bool
    value: Any


def spots_in_structure(
    shape: model.StructureShape, descriptor: Descriptor, value: Any, route: Any, path: str
) -> Iterator[Spot]:
    for member, each in value.items():
        target, field = shape.members[member], mirror.field_of(descriptor, member)
        where = f"{path}.{field.name}" if path else field.name
        yield Spot(
            route=(*route, member),
            path=where if field.is_repeated else path_of(target, where),
            owner=f"{shape.name}.{member}",
            shape=target,
            required=model.is_required(shape, member) and not model.is_union(shape),
            value=each,
        )
        if field.is_repeated:
            yield from spots_in_container(target, field, each, (*route, member), where)
        else:
            yield from spots_inside(target, field.message_type, each, (*route, member), where)


def path_of(shape: model.Shape, path: str) -> str:
    """Return the caller's path of a value; a list or map is in a wrapper message."""
    return f"{path}.values" if isinstance(shape, model.ListShape | model.MapShape) else path


def spots_in_container(
    shape: model.Shape, field: FieldDescriptor, value: Any, route: Any, path: str
) -> Iterator[Spot]:
    message: Any = field.message_type
    if isinstance(shape, model.MapShape):
        element, message = shape.value, message.fields_by_name["value"].message_type
    else:
        assert isinstance(shape, model.ListShape)
        element = shape.member
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        where, further = f"{path}[{json.dumps(key)}]", (*route, key)
        yield Spot(
            route=further,
            path=path_of(element, where),
            owner=f"{shape.name}[]",
            shape=element,
            required=False,
            value=each,
        )
        yield from spots_inside(element, message, each, further, where)


def spots_inside(
    shape: model.Shape, message: Any, value: Any, route: Any, path: str
) -> Iterator[Spot]:
    if isinstance(shape, model.ListShape | model.MapShape):
        # The message that wraps it has one field, which is a part of the caller's path.
        field = message.fields_by_name["values"]
        yield from spots_in_container(shape, field, value, route, f"{path}.values")
    elif isinstance(shape, model.StructureShape) and not model.is_document(shape):
        yield from spots_in_structure(shape, message, value, route, path)


def out_of_bounds(spot: Spot) -> Iterator[tuple[str, Any]]:
    """Yield values that violate the constraints of the spot, each with a name."""
    shape = spot.shape
    if spot.required and not isinstance(shape, model.ListShape | model.MapShape):
        yield "missing", MISSING
    match shape.type_name:
        case "string" if not model.enum_values(shape):
            yield from bad_texts(shape)
        case "integer" | "long" | "float" | "double":
            yield from bad_numbers(shape)
        case "list":
            yield from bad_lists(shape, spot.value)
        case "map":
            yield from bad_maps(shape, spot.value)


def bad_texts(shape: model.Shape) -> Iterator[tuple[str, str]]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", MAX_TEXT)
    pattern = shape.metadata.get("pattern")
    if pattern is not None:
        yield "pattern", mismatch(pattern, low)
    elif high < MAX_TEXT:
        yield "too long", "x" * (high + 1)
    if low:
        yield "too short", "x" * (low - 1)


def bad_numbers(shape: model.Shape) -> Iterator[tuple[str, float]]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and low > -(2**31):
        yield "too small", low - 1
    if high is not None and high < 2**31 - 1:
        yield "too large", high + 1


def bad_lists(shape: model.Shape, value: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", MAX_TEXT)
    if high < MAX_TEXT and value:
        yield "too many", value[:1] * (high + 1)
    if low:
        yield "too few", value[: low - 1]


def bad_maps(shape: model.Shape, value: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    assert isinstance(shape, model.MapShape)
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", MAX_TEXT)
    each = next(iter(value.values()))
    if low:
        yield "too few", {}
    pattern = shape.key.metadata.get("pattern")
    longest = shape.key.metadata.get("max", MAX_TEXT)
    keys = patterns.texts(pattern, 1, longest) if pattern else [f"k{n}" for n in range(MAX_TEXT)]
    if high < len(keys):
        yield "too many", dict.fromkeys(keys[: high + 1], each)
    if pattern:
        yield KEY, {mismatch(pattern, 1): each}
    elif longest < MAX_TEXT:
        yield KEY, {"x" * (longest + 1): each}


def mismatch(pattern: str, low: int) -> str:
    compiled = regex.compile(pattern, regex.VERSION0)
    candidates = ("~", "\t", "\n", "\0", "not valid", "")
    padded = (candidate * max(1, low) for candidate in candidates)
    return next(text for text in padded if not compiled.fullmatch(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A value that violates a constraint, in the params of an operation."""

    operation: model.OperationModel
    valid_params: dict[str, Any]
    spot: Spot
    fault: str
    replacement: Any

    @property
    def params(self) -> dict[str, Any]:
        """The params with the value."""
        params = deepcopy(self.valid_params)
        holder: Any = params
        *parents, last = self.spot.route
        for step in parents:
            holder = holder[step]
        if self.replacement is MISSING:
            del holder[last]
        else:
            holder[last] = self.replacement
        return params

    def __str__(self) -> str:
        return f"{self.spot.path} {self.fault}, {str(self.replacement)[:60]!r}"


def every_violation() -> dict[str, list[Violation]]:
    """Return each constraint once, at the first operation that has it."""
    cases: dict[str, list[Violation]] = {}
    visited: set[tuple[str, str, str]] = set()
    for operation in OPERATIONS:
        shape = operation.input_shape
        if shape is None:
            continue
        params = Synthesizer(wire=False).params(operation, FULL)
        descriptor = method_of(operation).input_type
        service = operation.service_model.service_name
        for spot in spots_in_structure(shape, descriptor, params, (), ""):
            if spot.route[-1] in operation.idempotent_members and len(spot.route) == 1:
                continue  # made when absent
            for fault, replacement in out_of_bounds(spot):
                key = service, spot.owner, fault
                if key not in visited:
                    visited.add(key)
                    case = Violation(
                        operation=operation,
                        valid_params=params,
                        spot=spot,
                        fault=fault,
                        replacement=replacement,
                    )
                    cases.setdefault(operation_id(operation), []).append(case)
    return cases
