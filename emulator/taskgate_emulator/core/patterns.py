r"""Compiles the patterns of the service models, which are written for ECMAScript and Java.

Two things differ from Python. Their `\p{L}` (a Unicode category) is unknown to `re`, and `\d` and
`\w` mean ASCII there. A pattern holds for the whole value: botocore's models leave out the `^` and
`$` that AWS's own Smithy models have.
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
"""Stands for a category without characters, where a class may not be empty: no character at all."""


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A test of whether a whole value satisfies the pattern."""
    if _CATEGORY.search(pattern) is None:
        compiled = re.compile(pattern, re.ASCII)
        return lambda value: compiled.fullmatch(value) is not None

    @cache
    def in_ascii() -> re.Pattern[str]:
        return _expand(pattern, "")

    def matches(value: str) -> bool:
        # All of a category would be thousands of ranges. Only the characters of this value count;
        # for nearly every value that means ASCII, which is compiled once.
        expanded = in_ascii() if value.isascii() else _expand(pattern, value)
        return expanded.fullmatch(value) is not None

    return matches


def _expand(pattern: str, more: str) -> re.Pattern[str]:
    """The pattern with each category as its characters in ASCII and in one more text."""
    characters = sorted({*_ASCII, *more})

    def members(found: re.Match[str]) -> str:
        inside = (c for c in characters if unicodedata.category(c).startswith(found[1]))
        return "".join(map(re.escape, inside)) or _NO_CHARACTER

    # `||` between the categories is a literal bar, listed many times over. One stays: Python
    # warns of more as a set operation to come.
    return re.compile(_BARS.sub("|", _CATEGORY.sub(members, pattern)), re.ASCII)
