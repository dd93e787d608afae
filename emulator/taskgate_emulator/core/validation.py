"""Checks of a value against the constraints of its shape.

`compile_checks` turns a shape into functions once; `parsing.py` calls them while it reads a
request. All violations of a request are collected, as AWS does, and no message contains the value,
which may be sensitive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.patterns import compile_pattern
from taskgate_server.aws.model import Shape, enum_values

__all__ = ["REQUIRED", "Check", "Violation", "compile_checks", "rejection"]

REQUIRED = "Member must not be null"

_INTEGER_BITS = {"integer": 32, "long": 64}
_SIZED = frozenset({"string", "list", "map", "blob"})
_NUMERIC = frozenset({"integer", "long", "float", "double"})


@dataclass(frozen=True, slots=True)
class Violation:
    """A constraint that a member of a request violates."""

    name: str
    """The member's path, such as `identifiers.2.member.taskId`; list positions start at 1, as at
    AWS.
    """
    message: str
    """The constraint."""


Check = Callable[[Any], str | None]
"""Returns the violated constraint, or None."""


def compile_checks(shape: Shape) -> list[Check]:
    """Return all checks of a shape, in AWS's order."""
    checks = [_value_range(shape) if shape.type_name in _NUMERIC else None, _length(shape)]
    if shape.type_name == "string":
        checks += [_enum(enum_values(shape)), _pattern(shape.metadata.get("pattern"))]
    return [check for check in checks if check is not None]


def rejection(violations: list[Violation]) -> AwsError:
    """Return the error that names all violations of a request."""
    count = len(violations)
    details = "; ".join(
        f"Value at '{violation.name}' failed to satisfy constraint: {violation.message}"
        for violation in violations
    )
    return AwsError(
        "ValidationException",
        f"{count} validation error{'' if count == 1 else 's'} detected: {details}",
        {
            "reason": "FIELD_VALIDATION_FAILED",
            "fieldList": [
                {"name": violation.name, "message": violation.message} for violation in violations
            ],
        },
    )


def _value_range(shape: Shape) -> Check | None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    bits = _INTEGER_BITS.get(shape.type_name)
    if bits is not None:
        # JSON numbers have any size; the model's integer and long have 32 and 64 bits.
        low = -(2 ** (bits - 1)) if low is None else low
        high = 2 ** (bits - 1) - 1 if high is None else high

    def check(value: float) -> str | None:
        if low is not None and value < low:
            return f"Member must have value greater than or equal to {low}"
        if high is not None and value > high:
            return f"Member must have value less than or equal to {high}"
        return None

    return None if low is None and high is None else check


def _length(shape: Shape) -> Check | None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name not in _SIZED or (low is None and high is None):
        return None

    def check(value: str | bytes | list[object] | dict[str, object]) -> str | None:
        if low is not None and len(value) < low:
            return f"Member must have length greater than or equal to {low}"
        if high is not None and len(value) > high:
            return f"Member must have length less than or equal to {high}"
        return None

    return check


def _enum(words: list[str]) -> Check | None:
    if not words:
        return None
    known = frozenset(words)
    message = f"Member must satisfy enum value set: [{', '.join(words)}]"
    return lambda value: None if value in known else message


def _pattern(pattern: str | None) -> Check | None:
    if pattern is None:
        return None
    matches = compile_pattern(pattern)
    message = f"Member must satisfy regular expression pattern: {pattern}"
    return lambda value: None if matches(value) else message
