"""Whether AWS's JSON has the types of its model, so that Taskgate must accept it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

from botocore.utils import parse_timestamp

from taskgate_server.aws import model

_EXACT = 2**53
_FIRST, _AFTER_LAST = -62_135_596_800, 253_402_300_800
_MIN_MOMENT = len("2026-03-02T09:30:15Z")
_DEEPEST = 30
"""Protobuf messages nest at most 100 deep, and each level of a document takes three."""


def strict_json(body: bytes) -> Any:
    """Parse a body as strict JSON.

    Raises:
        ValueError: it is not JSON (RFC 8259), or nested too deeply.
    """
    try:
        return json.loads(body.decode(), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("too deep") from error


def _refuse(name: str) -> float:
    raise ValueError(name)


def matches(value: Any, shape: model.Shape) -> bool:
    """Return whether each value has its member's type; null matches any member."""
    if model.is_document(shape):
        return _document(value, 0)
    if isinstance(shape, model.StructureShape):
        return isinstance(value, dict) and all(
            each is None or name not in shape.members or matches(each, shape.members[name])
            for name, each in value.items()
        )
    if isinstance(shape, model.ListShape):
        return isinstance(value, list) and all(matches(each, shape.member) for each in value)
    if isinstance(shape, model.MapShape):
        return isinstance(value, dict) and all(
            _text(key) and matches(each, shape.value) for key, each in value.items()
        )
    return _leaf(value, shape)


def _leaf(value: Any, shape: model.Shape) -> bool:
    return _LEAVES[shape.type_name](value)


def _integer(bits: int) -> Callable[[Any], bool]:
    limit = 2 ** (bits - 1)
    return lambda value: type(value) is int and -limit <= value < limit


def _double(value: Any) -> bool:
    if value in ("NaN", "Infinity", "-Infinity"):
        return True
    return type(value) is float or (type(value) is int and abs(value) <= _EXACT)


def _blob(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        return False
    return True


def _text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _moment(value: Any) -> bool:
    """Return whether a timestamp is certainly valid; others may be rejected."""
    if isinstance(value, str):
        if not (value.isascii() and value.endswith("Z") and len(value) >= _MIN_MOMENT):
            return False
    elif type(value) not in (int, float) or not _FIRST <= value < _AFTER_LAST:
        return False
    parse: Any = parse_timestamp  # takes numbers too, which its stubs deny
    try:
        parse(value)
    except (ValueError, OverflowError):
        return False
    return True


def _document(value: Any, depth: int) -> bool:
    if depth > _DEEPEST:
        return False
    if isinstance(value, dict):
        return all(_text(key) and _document(each, depth + 1) for key, each in value.items())
    if isinstance(value, list):
        return all(_document(each, depth + 1) for each in value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return abs(value) <= _EXACT
    return value is None or math.isfinite(value)


_LEAVES: dict[str, Callable[[Any], bool]] = {
    "string": _text,
    "integer": _integer(32),
    "long": _integer(64),
    "float": _double,
    "double": _double,
    "boolean": lambda value: type(value) is bool,
    "timestamp": _moment,
    "blob": _blob,
}
