r"""Compiles the patterns of the service models, which are written for ECMAScript and Java.

They differ from Python in two ways: `re` does not know their `\p{L}` (a Unicode category), and
their `\d` and `\w` mean ASCII. A pattern must match the whole value: botocore's models omit the `^`
and `$` of AWS's Smithy models.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

__all__ = ["compile_pattern"]

_CATEGORY = re.compile(r"\\p\{([A-Z][a-z]?)\}")
_BARS = re.compile(r"\|{2,}")
_ASCII = "".join(map(chr, range(0x80)))
_NO_CHARACTER = "\\U0010ffff"
"""Replaces a category without characters, because a class must not be empty."""


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a function that tests whether a whole value matches a pattern."""
    if _CATEGORY.search(pattern) is None:
        compiled = re.compile(pattern, re.ASCII)
        return lambda value: compiled.fullmatch(value) is not None

    @cache
    def in_ascii() -> re.Pattern[str]:
        return _expand(pattern, "")

    def matches(value: str) -> bool:
        # A whole category has thousands of ranges, so only the characters of the value are
        # expanded. Most values are ASCII, for which the pattern is compiled once.
        expanded = in_ascii() if value.isascii() else _expand(pattern, value)
        return expanded.fullmatch(value) is not None

    return matches


def _expand(pattern: str, more: str) -> re.Pattern[str]:
    """Replace each category in a pattern by its characters that are in ASCII or in a text."""
    characters = sorted({*_ASCII, *more})

    def members(found: re.Match[str]) -> str:
        inside = (c for c in characters if unicodedata.category(c).startswith(found[1]))
        return "".join(map(re.escape, inside)) or _NO_CHARACTER

    # `||` between categories is a repeated literal bar. One is kept, because Python warns of more
    # as a possible set operation.
    return re.compile(_BARS.sub("|", _CATEGORY.sub(members, pattern)), re.ASCII)
