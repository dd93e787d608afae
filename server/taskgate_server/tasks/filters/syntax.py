"""The syntax of filters: `parse` converts text to a tree.

The grammar is that of AIP-160 (https://google.aip.dev/160) without functions and bare values:

    filter      = [ conjunction ]
    conjunction = disjunction { [ "AND" ] disjunction }
    disjunction = term { "OR" term }                      OR binds tighter than AND
    term        = [ "NOT" | "-" ] ( comparison | "(" conjunction ")" )
    comparison  = field [ "." name ] operator value
    operator    = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"

`fields` defines the fields and their values. Values can be sensitive: an error contains the column,
but never a value.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_CHARACTERS: Final = 2048
MAX_DEPTH: Final = 32
"""Of nested parentheses."""
MAX_COMPARISONS: Final = 100
"""Each is evaluated for up to 2,000 tasks of one request, in about a microsecond."""

ANY: Final = "*"
"""The unquoted value in `end_time:*`."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_OPERATOR: Final = re.compile(r"!=|<=|>=|[=<>:]")
_BARE: Final = re.compile(
    # A time contains colons, which are operators elsewhere.
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)|[A-Za-z0-9_.+/-]+"
)
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})


class FilterError(Exception):
    """A fault of a filter, and its column, counted in characters from 1."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(f"column {column}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A comparison of a field of the task with a value."""

    field: str
    name: str | None = None
    """The name of a parameter, which follows the field after a dot."""
    operator: str
    value: str | None
    """The value without quotes and escapes; None for the bare `*`."""
    column: int = dataclasses.field(default=1, compare=False)
    value_column: int = dataclasses.field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The negation of an expression."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Or:
    """The disjunction of two or more expressions."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class And:
    """The conjunction of two or more expressions."""

    parts: tuple[Expression, ...]


Expression: TypeAlias = Comparison | Not | Or | And


def parse(text: str) -> Expression | None:
    """Return the tree of a filter; None for an empty one.

    Raises:
        FilterError: it violates the grammar, or is too long or too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterError(MAX_CHARACTERS + 1, f"at most {MAX_CHARACTERS} characters are allowed")
    parser = _Parser(text)
    if parser.at_end():
        return None
    expression = parser.conjunction()
    if not parser.at_end():
        raise parser.fault("unmatched closing parenthesis")
    return expression


class _Parser:
    """Parses from left to right; each method moves `_at` behind what it has parsed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._comparisons = 0

    def at_end(self) -> bool:
        self._read(_SPACE)
        return self._at == len(self._text)

    def fault(self, message: str) -> FilterError:
        return FilterError(self._at + 1, message)

    def conjunction(self) -> Expression:
        parts = [self._disjunction()]
        while not self.at_end() and not self._is_next(")"):
            self._accept("AND")
            parts.append(self._disjunction())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _disjunction(self) -> Expression:
        parts = [self._term()]
        while self._accept("OR"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _term(self) -> Expression:
        if self._accept("-") or self._accept("NOT"):
            return Not(self._simple())
        return self._simple()

    def _simple(self) -> Expression:
        if not self._accept("("):
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(self._at, f"at most {MAX_DEPTH} nested parentheses are allowed")
        inner = self.conjunction()
        if not self._accept(")"):
            raise self.fault("expected a closing parenthesis")
        self._depth -= 1
        return inner

    def _comparison(self) -> Comparison:
        self._read(_SPACE)
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise self.fault(f"at most {MAX_COMPARISONS} comparisons are allowed")
        column = self._at + 1
        word = self._read(_WORD)
        if not word or word in _KEYWORDS:
            raise FilterError(column, "expected a comparison, such as state = FAILED")
        name = None
        if self._accept("."):
            name = self._string() if self._is_next('"', "'") else self._read(_NAME)
            if not name:
                raise self.fault(
                    "expected the name of a parameter; names with special characters need quotes"
                )
        self._read(_SPACE)
        operator = self._read(_OPERATOR)
        if not operator:
            raise self.fault("expected an operator: = != < <= > >= or :")
        self._read(_SPACE)
        return Comparison(
            field=word,
            name=name,
            operator=operator,
            column=column,
            value_column=self._at + 1,
            value=self._value(),
        )

    def _value(self) -> str | None:
        if self._accept(ANY):
            return None
        if self._is_next('"', "'"):
            return self._string()
        value = self._read(_BARE)
        if not value:
            raise self.fault(
                "expected a value; characters other than A-Z a-z 0-9 _.+/- need quotes"
            )
        return value

    def _string(self) -> str:
        start = self._at
        match = _STRING.match(self._text, start)
        if match is None:
            raise self.fault("unclosed quote")
        for escape in _ESCAPE.finditer(match[0]):
            if escape[1] not in _ESCAPED:
                column = start + escape.start() + 1
                raise FilterError(column, r"invalid escape sequence: use \" \' \\ \n \r or \t")
        self._at = match.end()
        content = match[1] if match[1] is not None else match[2]
        return _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], content)

    def _read(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _is_next(self, *characters: str) -> bool:
        return self._text.startswith(characters, self._at)

    def _accept(self, token: str) -> bool:
        """Move behind a word or a symbol, if it is next; return whether it is."""
        self._read(_SPACE)
        word = _WORD.match(self._text, self._at)
        if (word[0] if word else self._text[self._at : self._at + 1]) != token:
            return False
        self._at += len(token)
        return True
