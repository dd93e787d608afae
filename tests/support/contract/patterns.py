r"""Generates texts that match a pattern of the models, from Python's parse tree of the pattern.

Every text is checked against the unchanged pattern with `regex`, the only available library that
knows `\p{L}`, so an error of this generator is found at once.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import regex

from tests.support.seeds import seeded

# `sre_parse` by its present name; the old one warns, and a warning is an error here.
_PARSER: Any = import_module("re._parser")

_CATEGORIES = {
    "L": "abzAZéßж中",
    "M": "\u0301\u0308",
    "Z": " \u00a0\u3000",
    "S": "+$<=>^`|~€",
    "N": "0189½٣",
    "P": "!\"#%&'()*,-./:;?@[]_{}¿",
}
_DIGITS = "0123456789"
# ASCII: in AWS's patterns, which are Java's, \w is no more than that.
_CLASSES = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_WORD": f"abyzABYZ{_DIGITS}_",
    "CATEGORY_SPACE": " \t\n\r\f\v",
}
_ANYTHING = "abzABZ019 -_.,:;/+=@!#%&?*'\"<>[]{}|~é中😀"

POOL_SIZE = 8
_TRIES = 4_000
_GROWTHS = (0, 3, 12, 30)


@cache
def texts(pattern: str, low: int, high: int) -> tuple[str, ...]:
    """Return different texts that match the pattern, with `low` to `high` characters."""
    parsed = _PARSER.parse(_expand(pattern))
    oracle = regex.compile(pattern, regex.VERSION0)
    random = seeded(pattern, str(low), str(high))
    found: dict[str, None] = {}
    for attempt in range(_TRIES):
        text = _Writer(random, growth=_GROWTHS[attempt % len(_GROWTHS)]).sequence(parsed)
        if low <= len(text) <= high and oracle.fullmatch(text):
            found[text] = None
        # A few patterns have hardly more than one text, which must not cost all the tries.
        if len(found) == POOL_SIZE or (found and attempt > _TRIES // 10):
            return tuple(found)
    raise AssertionError(f"no text of {low} to {high} characters found for {pattern}")


def _expand(pattern: str) -> str:
    def members(match: re.Match[str]) -> str:
        return "".join(map(re.escape, _CATEGORIES[match[1]]))

    # `||` in a class is a bar, twice; Python warns of it as a set operation to come.
    return re.sub(r"\|{2,}", "|", re.sub(r"\\p\{([A-Z])\}", members, pattern))


class _Writer:
    """Generates one text; `growth` is the maximum of repetitions beyond the minimum."""

    def __init__(self, random: Random, growth: int) -> None:
        self._random = random
        self._growth = growth

    def sequence(self, tokens: Any) -> str:
        return "".join(self._token(operator.name, argument) for operator, argument in tokens)

    def _token(self, operator: str, argument: Any) -> str:
        match operator:
            case "AT":  # an anchor: the final fullmatch decides
                return ""
            case "BRANCH":
                return self.sequence(self._random.choice(argument[1]))
            case "SUBPATTERN":
                return self.sequence(argument[-1])
            case "MAX_REPEAT":
                low, high, inner = argument
                count = self._random.randint(low, min(int(high), low + self._growth))
                return "".join(self.sequence(inner) for _ in range(count))
        return self._random.choice(_characters(operator, argument))


def _characters(operator: str, argument: Any) -> str:
    """Return the possible characters for one item of the pattern."""
    match operator:
        case "LITERAL":
            return chr(argument)
        case "ANY":
            return _ANYTHING
        case "NOT_LITERAL":
            return _ANYTHING.replace(chr(argument), "")
        case "IN":
            return _class(argument)
    raise AssertionError(f"this generator does not know {operator}")


def _class(items: Any) -> str:
    inside: list[str] = []
    negated = False
    for operator, argument in items:
        match operator.name:
            case "NEGATE":
                negated = True
            case "LITERAL":
                inside.append(chr(argument))
            case "RANGE":
                inside.extend(map(chr, range(argument[0], argument[1] + 1)))
            case "CATEGORY":
                inside.extend(_CLASSES[argument.name])
            case _:
                raise AssertionError(f"this generator does not know {operator.name} in a class")
    if negated:
        return "".join(character for character in _ANYTHING if character not in inside)
    return "".join(inside)
