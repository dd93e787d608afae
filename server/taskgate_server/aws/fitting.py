"""Fits AWS's JSON to AWS's model, so that one odd value does not invalidate a whole response.

A response is checked once, when it arrives. Values that fit stay the same objects; an odd value is
replaced by the nearest value of its type, or omitted if there is none, as docs/contract.md lists
("Values that do not fit the model"). All later code can rely on the model's types.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from taskgate_server.aws import model, timestamps

Odd: TypeAlias = list[str]
"""The members with odd values, by names of shape and member: `TaskSummary.createdAt`."""
Fit: TypeAlias = Callable[[Any], Any]
"""Returns the value itself if it fits, otherwise another one or `ABSENT`."""
FitMember: TypeAlias = Callable[[Any, Odd], Any]
"""Does the same for the value of a member, and records the member if the value does not fit."""

ABSENT: Final = object()
"""Replaces a value that cannot be represented."""

TOO_DEEP: Final = "(too deep)"
"""Replaces JSON that Python cannot serialize, several hundred levels deep."""
MAX_EXACT_INTEGER: Final = 2**53
"""A document's numbers are doubles in protobuf: integers up to here are exact."""
MAX_DOCUMENT_DEPTH: Final = 80
"""The limit of nested messages. Protobuf parsers accept 100 by default, and a document is nested in
other messages."""
OBJECT_DEPTH: Final = 3
"""The messages of a JSON object: Struct, its entry and the entry's Value."""
LIST_DEPTH: Final = 2

NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
"""Texts for numbers that JSON lacks: https://smithy.io/2.0/spec/simple-types.html#float"""
MAX_NUMBER_TEXT: Final = 400
"""The limit of characters of a number in a text: longer ones are slow to parse, and fit no type."""


class Fitter:
    """Compiles each structure of a service's model once; recursive ones refer to themselves."""

    def __init__(self) -> None:
        self._structures: dict[str, FitMember] = {}

    def compile(self, shape: model.StructureShape) -> FitMember:
        """Return the function that fits values of a shape, and records odd members."""
        known = self._structures.get(shape.name)
        if known is not None:
            return known
        members: dict[str, tuple[type | None, FitMember]] = {}
        fit = _structure(members)
        self._structures[shape.name] = fit
        for name, target in shape.members.items():
            if not target.serialization.get("streaming"):
                fit_member = self._of(target, f"{shape.name}.{name}")
                members[wire_name(name, target)] = PLAIN.get(target.type_name), fit_member
        return fit

    def _of(self, shape: model.Shape, where: str) -> FitMember:
        if isinstance(shape, model.ListShape):
            return _list(self._of(shape.member, where), _empty(shape.member), where)
        if isinstance(shape, model.MapShape):
            return _map(self._of(shape.value, where), _empty(shape.value), where)
        if model.is_document(shape):
            return _record_odd(_document, where)
        if isinstance(shape, model.StructureShape):
            return _require_structure(self.compile(shape), where)
        return _record_odd(LEAVES[shape.type_name], where)


def wire_name(member: str, target: model.Shape) -> str:
    """Return the key of a member in a parsed response: its wire name, or its own for a header."""
    if "location" in target.serialization:
        return member
    return str(target.serialization.get("name", member))


def _empty(shape: model.Shape) -> Any:
    """Return the replacement of an element of a list or map that has no value of its type."""
    if model.is_document(shape):
        return None
    if isinstance(shape, model.StructureShape | model.MapShape):
        return {}
    if isinstance(shape, model.ListShape):
        return []
    return EMPTY[shape.type_name]


def _structure(members: dict[str, tuple[type | None, FitMember]]) -> FitMember:
    def fit(value: Any, odd: Odd) -> Any:
        changes: dict[str, Any] | None = None
        for name, each in value.items():
            member = members.get(name)
            if member is None or each is None or type(each) is member[0]:
                continue
            fitted = member[1](each, odd)
            if fitted is not each:
                changes = changes or {}
                changes[name] = fitted
        if changes is None:
            return value
        merged = {**value, **changes}
        return {name: each for name, each in merged.items() if each is not ABSENT}

    return fit


def _require_structure(fit_structure: FitMember, where: str) -> FitMember:
    """Return the function for a member that should be a structure."""

    def fit(value: Any, odd: Odd) -> Any:
        if type(value) is dict:
            return fit_structure(value, odd)
        odd.append(where)
        return ABSENT

    return fit


def _list(fit_element: FitMember, empty: Any, where: str) -> FitMember:
    def fit(value: Any, odd: Odd) -> Any:
        if type(value) is not list:
            odd.append(where)
            return ABSENT
        changed: list[Any] | None = None
        for index, each in enumerate(value):
            fitted = fit_element(each, odd) if each is not None else _null(empty, where, odd)
            if fitted is not each:
                changed = changed or list(value)
                changed[index] = empty if fitted is ABSENT else fitted
        return value if changed is None else changed

    return fit


def _map(fit_value: FitMember, empty: Any, where: str) -> FitMember:
    def fit(value: Any, odd: Odd) -> Any:
        if type(value) is not dict:
            odd.append(where)
            return ABSENT
        changes: dict[str, Any] | None = None
        for key, each in value.items():
            fitted = fit_value(each, odd) if each is not None else _null(empty, where, odd)
            if fitted is not each:
                changes = changes or {}
                changes[key] = empty if fitted is ABSENT else fitted
        return value if changes is None else {**value, **changes}

    return fit


def _null(empty: Any, where: str, odd: Odd) -> Any:
    """Return the replacement of a null element; for structures and documents null is not odd."""
    if empty is not None and empty != {}:
        odd.append(where)
    return empty


def _record_odd(fit_value: Fit, where: str) -> FitMember:
    """Return the function for a scalar or document; it records values that it replaces."""

    def fit(value: Any, odd: Odd) -> Any:
        fitted = fit_value(value)
        if fitted is not value and not _is_respelled(fitted, value):
            odd.append(where)
        return fitted

    return fit


def _is_respelled(fitted: Any, value: Any) -> bool:
    """Return whether both are the same number: boto3 accepts "5" and 5.0, and AWS writes "NaN"."""
    if type(fitted) is float:
        return value in NOT_FINITE
    if type(fitted) is not int or isinstance(value, bool):
        return False
    return bool(value == fitted or value == str(fitted))


def _string(value: Any) -> Any:
    return value if type(value) is str else to_text(value)


def to_text(value: Any) -> Any:
    """Serialize any JSON value."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return TOO_DEEP


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), ABSENT)
    if type(value) is bool:
        return value
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else ABSENT


def _integer(bits: int) -> Fit:
    limit = 2 ** (bits - 1)

    def fit(value: Any) -> Any:
        number = value if type(value) is int else _whole_number(value)
        return ABSENT if number is None or not -limit <= number < limit else number

    return fit


def _whole_number(value: Any) -> int | None:
    """Return an integer from another representation; None if it is not one."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, int):
        return int(value)
    try:
        return int(value) if isinstance(value, str) and len(value) < MAX_NUMBER_TEXT else None
    except ValueError:
        return None


def _double(value: Any) -> Any:
    if type(value) is float:
        return value
    if value in NOT_FINITE:
        return float(value)
    if type(value) is int and -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER:
        return value
    if not isinstance(value, int) and not (isinstance(value, str) and len(value) < MAX_NUMBER_TEXT):
        return ABSENT
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return ABSENT
    return number if math.isfinite(number) else ABSENT


def _timestamp(value: Any) -> Any:
    try:
        timestamps.to_seconds_and_nanos(value)
    except (TypeError, ValueError):
        return ABSENT
    return value


def _blob(value: Any) -> Any:
    if type(value) is bytes:  # from the body itself
        return value
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        pass
    else:
        return value
    try:  # as leniently as boto3
        return base64.b64encode(base64.b64decode(value)).decode()
    except (TypeError, ValueError):
        return ABSENT


def _document(value: Any, depth: int = MAX_DOCUMENT_DEPTH) -> Any:
    """Return a document that fits in protobuf: not too deep, and with exact numbers."""
    if type(value) is int:
        return value if -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER else str(value)
    if type(value) is list:
        left = depth - LIST_DEPTH
        if left < 0:
            return to_text(value)
        elements = [_document(each, left) for each in value]
        is_same = all(one is other for one, other in zip(elements, value, strict=True))
        return value if is_same else elements
    if type(value) is dict:
        left = depth - OBJECT_DEPTH
        if left < 0:
            return to_text(value)
        fields = {key: _document(each, left) for key, each in value.items()}
        return value if all(fields[key] is each for key, each in value.items()) else fields
    return value


LEAVES: Final[dict[str, Fit]] = {
    "blob": _blob,
    "boolean": _boolean,
    "double": _double,
    "float": _double,
    "integer": _integer(32),
    "long": _integer(64),
    "string": _string,
    "timestamp": _timestamp,
}
PLAIN: Final[dict[str, type]] = {"boolean": bool, "double": float, "float": float, "string": str}
"""Scalar types for which every value of a Python type fits."""
EMPTY: Final[dict[str, Any]] = {
    "blob": "",
    "boolean": False,
    "double": 0.0,
    "float": 0.0,
    "integer": 0,
    "long": 0,
    "string": "",
    "timestamp": 0,
}
"""Replacements of elements that are null or cannot be represented, by scalar type."""
