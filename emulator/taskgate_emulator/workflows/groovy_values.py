"""The values of Groovy expressions, as far as they follow from literals and known names.

Whatever needs a running script, such as a function of the script, is `UNKNOWN`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from taskgate_emulator.workflows.groovy import Group, Node, Template, Token, is_token, split

__all__ = ["UNKNOWN", "evaluate", "memory_bytes"]


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""The value of an expression that only a running script has."""

_MAX_LENGTH = 10_000
"""Longer strings and lists are unknown, so that no script exhausts the memory."""
_UNITS = {unit: 1024**power for power, unit in enumerate(("B", "KB", "MB", "GB", "TB", "PB"))}
_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*\.?\s*([KMGTP]?)i?B?\s*", re.IGNORECASE)
_MAX_DIGITS = 18
_LEVELS: Sequence[Mapping[str, Callable[[Any, Any], Any]]] = (
    {
        "==": operator.eq,
        "===": operator.eq,
        "!=": operator.ne,
        "!==": operator.ne,
        "in": lambda one, many: one in many,
    },
    {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv, "%": operator.mod},
)
"""Binary operators, the loosest first."""
_METHODS: Mapping[str, Callable[[Any], Any]] = {
    "toInteger": int,
    "toString": str,
    "toLowerCase": lambda value: value.lower(),
    "toUpperCase": lambda value: value.upper(),
    "trim": lambda value: value.strip(),
    "size": len,
    "max": max,
    "min": min,
    "toGiga": lambda value: value // _UNITS["GB"],
    "toMega": lambda value: value // _UNITS["MB"],
}
_FAILURES = (TypeError, ValueError, ArithmeticError, AttributeError, KeyError, IndexError)


def evaluate(nodes: Sequence[Node], names: Mapping[str, Any]) -> Any:
    """Return the value of an expression or of a closure with one expression.

    Args:
        nodes: of the expression.
        names: the known names; a mapping that lacks a property has null for it.

    Returns:
        The value, with amounts of memory in bytes, or UNKNOWN.
    """
    known = [node for node in nodes if not (isinstance(node, Token) and node.kind == "newline")]
    if len(known) == 1 and isinstance(known[0], Group) and known[0].bracket == "{":
        return evaluate(known[0].nodes, names)
    reader = _Reader(known, names)
    value = reader.ternary()
    return value if reader.is_done() else UNKNOWN


def memory_bytes(value: Any) -> int | None:
    """Return an amount of memory in bytes, or None if it is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return int(value)
    found = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    return int(float(found[1]) * _UNITS[f"{found[2].upper()}B"]) if found else None


class _Reader:
    """Evaluates while it reads; there are no side effects, so unused branches do no harm."""

    def __init__(self, nodes: Sequence[Node], names: Mapping[str, Any]) -> None:
        self._nodes = nodes
        self._names = names
        self._at = 0

    def is_done(self) -> bool:
        """Return whether all nodes are read."""
        return self._at >= len(self._nodes)

    def ternary(self) -> Any:
        """Read an expression."""
        value = self._either()
        if self._take("?:"):
            other = self.ternary()
            return value if value is UNKNOWN or value else other
        if self._take("?"):
            yes = self.ternary()
            no = self.ternary() if self._take(":") else UNKNOWN
            if value is UNKNOWN:
                return yes if yes == no else UNKNOWN
            return yes if value else no
        return value

    def _either(self) -> Any:
        value = self._both()
        while self._take("||"):
            value = _joined(value, self._both(), decisive=True)
        return value

    def _both(self) -> Any:
        value = self._binary(0)
        while self._take("&&"):
            value = _joined(value, self._binary(0), decisive=False)
        return value

    def _binary(self, level: int) -> Any:
        if level == len(_LEVELS):
            return self._unary()
        value = self._binary(level + 1)
        while word := self._take(*_LEVELS[level]):
            value = _apply(_LEVELS[level][word], value, self._binary(level + 1))
        return value

    def _unary(self) -> Any:
        if self._take("!"):
            value = self._unary()
            return UNKNOWN if value is UNKNOWN else not value
        if self._take("-"):
            return _apply(operator.neg, self._unary())
        return self._properties(self._primary())

    def _properties(self, value: Any) -> Any:
        while True:
            if self._take(".", "?."):
                value = self._property(value)
            elif self._take("as"):
                value = self._converted(value)
            elif self._group("["):
                (inside,) = self._taken()
                value = _item(value, evaluate(inside.nodes, self._names))
            else:
                return value

    def _property(self, value: Any) -> Any:
        name = self._word()
        if self._group("("):
            (inside,) = self._taken()
            return _method(value, name, [] if inside.nodes else None)
        unit = name.upper() if name.upper() in _UNITS else f"{name.upper()}B"
        if unit in _UNITS and isinstance(value, (int, float)):
            return _apply(lambda one: int(one * _UNITS[unit]), value)
        return _item(value, name)

    def _converted(self, value: Any) -> Any:
        name = self._word()
        while self._take("."):
            name = self._word()
        if name == "MemoryUnit":
            found = memory_bytes(value)
            return UNKNOWN if found is None else found
        return _apply(int, value) if name in {"int", "Integer"} else value

    def _primary(self) -> Any:
        if self.is_done():
            return UNKNOWN
        node = self._nodes[self._at]
        self._at += 1
        if isinstance(node, Template):
            return _interpolated(node, self._names)
        if isinstance(node, Group):
            return _grouped(node, self._names)
        if node.kind == "string":
            return node.text
        if node.kind == "number":
            return _number(node.text)
        return self._named(node.text)

    def _named(self, name: str) -> Any:
        constants = {"true": True, "false": False, "null": None}
        if name in constants:
            return constants[name]
        if self._group("("):
            (inside,) = self._taken()
            if name != "check_max":  # the function of nf-core's older base.config
                return UNKNOWN
            return evaluate(split(inside.nodes, ",")[0], self._names)
        return self._names.get(name, UNKNOWN)

    def _take(self, *words: str) -> str | None:
        if self.is_done() or not is_token(self._nodes[self._at], *words):
            return None
        return self._word()

    def _word(self) -> str:
        node = self._nodes[self._at] if not self.is_done() else None
        self._at += 1
        return node.text if isinstance(node, Token) else ""

    def _group(self, bracket: str) -> bool:
        node = self._nodes[self._at] if not self.is_done() else None
        return isinstance(node, Group) and node.bracket == bracket

    def _taken(self) -> tuple[Group]:
        node = self._nodes[self._at]
        self._at += 1
        assert isinstance(node, Group)  # noqa: S101 the caller has looked
        return (node,)


def _joined(one: Any, other: Any, *, decisive: bool) -> Any:
    """Return `one || other` if `decisive` is true, `one && other` if it is false."""
    known = [bool(each) for each in (one, other) if each is not UNKNOWN]
    if decisive in known:
        return decisive
    return (not decisive) if len(known) == 2 else UNKNOWN  # noqa: PLR2004 both are known


def _apply(function: Callable[..., Any], *values: Any) -> Any:
    if any(value is UNKNOWN for value in values):
        return UNKNOWN
    if any(isinstance(value, (str, list)) and len(value) > _MAX_LENGTH for value in values):
        return UNKNOWN
    if function is operator.mul and not all(isinstance(each, (int, float)) for each in values):
        return UNKNOWN
    if function is operator.add and isinstance(values[0], str):
        return f"{values[0]}{values[1]}"
    try:
        return function(*values)
    except _FAILURES:
        return UNKNOWN


def _item(value: Any, key: Any) -> Any:
    if value is UNKNOWN or key is UNKNOWN:
        return UNKNOWN
    if isinstance(value, Mapping):
        return value.get(key)
    if value is None:
        return None
    return _apply(operator.getitem, value, key) if isinstance(key, int) else UNKNOWN


def _method(value: Any, name: str, arguments: list[Any] | None) -> Any:
    if arguments is not None or name not in _METHODS:
        return UNKNOWN
    return _apply(_METHODS[name], value)


def _number(text: str) -> float:
    bare = text.replace("_", "").rstrip("LlGgDdFf")
    return int(bare) if bare.isdigit() and len(bare) <= _MAX_DIGITS else float(bare)


def _interpolated(template: Template, names: Mapping[str, Any]) -> Any:
    parts = [each if isinstance(each, str) else evaluate(each, names) for each in template.parts]
    if any(each is UNKNOWN for each in parts):
        return UNKNOWN
    return "".join(each if isinstance(each, str) else f"{each}" for each in parts)


def _grouped(group: Group, names: Mapping[str, Any]) -> Any:
    if group.bracket == "{":
        return UNKNOWN
    if group.bracket == "(":
        return evaluate(group.nodes, names)
    entries = [
        [node for node in each if not (isinstance(node, Token) and node.kind == "newline")]
        for each in split(group.nodes, ",")
    ]
    pairs = [each for each in entries if len(each) > 1 and is_token(each[1], ":")]
    if pairs:
        return {
            key.text: evaluate(each[2:], names)
            for each in pairs
            if isinstance(key := each[0], Token)
        }
    return [evaluate(each, names) for each in entries if each]
