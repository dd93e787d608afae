"""The filter language as text and as a tree: `parse`, and `str` of what it gives.

The grammar is AIP-160's (https://google.aip.dev/160) without functions and bare values:

    filter      = [ conjunction ]
    conjunction = disjunction { [ "AND" ] disjunction }
    disjunction = term { "OR" term }                      OR binds tighter than AND
    term        = [ "NOT" | "-" ] ( comparison | "(" conjunction ")" )
    comparison  = field [ "." name ] operator value
    operator    = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"

What a field and a value may be is `filters_fields`' business. Values can be sensitive: an error
tells where it is, and never what is there.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_CHARACTERS: Final = 2048
DEEPEST: Final = 32
"""How many parentheses may be open at once."""
MAX_COMPARISONS: Final = 100
"""Each is evaluated for up to 2,000 tasks of one request, in about a microsecond."""

ANY: Final = "*"
"""The value of `end_time:*`, when it is not quoted."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_OPERATOR: Final = re.compile(r"!=|<=|>=|[=<>:]")
_BARE: Final = re.compile(
    # A time has colons, which are operators elsewhere.
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)|[A-Za-z0-9_.+/-]+"
)
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
_TO_ESCAPE: Final = str.maketrans({'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})


class FilterError(Exception):
    """What is wrong with a filter, and where: `column` counts characters from 1."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(f"column {column}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A field of the task beside a value."""

    field: str
    name: str | None = None
    """What follows the field after a dot: the name of a parameter."""
    operator: str
    value: str | None
    """As it was meant, without quotes and escapes; None for the bare `*`."""
    column: int = dataclasses.field(default=1, compare=False)
    value_column: int = dataclasses.field(default=1, compare=False)

    def __str__(self) -> str:
        name = "" if self.name is None else f".{_written(self.name, _NAME)}"
        value = ANY if self.value is None else _written(self.value, _BARE)
        space = "" if self.operator == ":" else " "
        return f"{self.field}{name}{space}{self.operator}{space}{value}"


@dataclass(frozen=True, slots=True)
class Not:
    """What is true when its part is not."""

    part: Expression

    def __str__(self) -> str:
        return f"NOT {_nested(self.part, And, Or, Not)}"


@dataclass(frozen=True, slots=True)
class Or:
    """What is true when one of its parts is: two or more."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " OR ".join(_nested(part, And, Or) for part in self.parts)


@dataclass(frozen=True, slots=True)
class And:
    """What is true when all its parts are: two or more."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " AND ".join(_nested(part, And) for part in self.parts)


Expression: TypeAlias = Comparison | Not | Or | And


def parse(text: str) -> Expression | None:
    """The tree of a filter; None for one that says nothing.

    Raises:
        FilterError: it does not follow the grammar, or is too long or too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterError(MAX_CHARACTERS + 1, f"at most {MAX_CHARACTERS} characters are taken")
    parser = _Parser(text)
    if parser.at_end():
        return None
    expression = parser.conjunction()
    if not parser.at_end():
        raise parser.fault("there is no parenthesis for this one to close")
    return expression


class _Parser:
    """Reads from left to right; each method leaves `_at` behind what it has read."""

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
            self._keyword("AND")
            parts.append(self._disjunction())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _disjunction(self) -> Expression:
        parts = [self._term()]
        while self._keyword("OR"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _term(self) -> Expression:
        if self._symbol("-") or self._keyword("NOT"):
            return Not(self._simple())
        return self._simple()

    def _simple(self) -> Expression:
        if not self._symbol("("):
            return self._comparison()
        self._depth += 1
        if self._depth > DEEPEST:
            raise FilterError(self._at, f"at most {DEEPEST} parentheses may be open at once")
        inner = self.conjunction()
        if not self._symbol(")"):
            raise self.fault("a closing parenthesis was expected")
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
            raise FilterError(column, "a comparison was expected, such as state = FAILED")
        name = None
        if self._symbol("."):
            name = self._string() if self._is_next('"', "'") else self._read(_NAME)
            if not name:
                raise self.fault("a parameter's name was expected, in quotes if it is odd")
        self._read(_SPACE)
        operator = self._read(_OPERATOR)
        if not operator:
            raise self.fault("an operator was expected: = != < <= > >= or :")
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
        if self._symbol(ANY):
            return None
        if self._is_next('"', "'"):
            return self._string()
        value = self._read(_BARE)
        if not value:
            raise self.fault(
                "a value was expected, in quotes if it has other than A-Z a-z 0-9 _.+/-"
            )
        return value

    def _string(self) -> str:
        start = self._at
        match = _STRING.match(self._text, start)
        if match is None:
            raise self.fault("this quote is not closed")
        for escape in _ESCAPE.finditer(match[0]):
            if escape[1] not in _ESCAPED:
                column = start + escape.start() + 1
                raise FilterError(column, r"only \" \' \\ \n \r and \t may follow a backslash so")
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

    def _symbol(self, character: str) -> bool:
        self._read(_SPACE)
        if not self._is_next(character):
            return False
        self._at += 1
        return True

    def _keyword(self, keyword: str) -> bool:
        self._read(_SPACE)
        match = _WORD.match(self._text, self._at)
        if match is None or match[0] != keyword:
            return False
        self._at = match.end()
        return True


def _nested(part: Expression, *looser: type[Expression]) -> str:
    return f"({part})" if isinstance(part, looser) else str(part)


def _written(text: str, plain: re.Pattern[str]) -> str:
    return text if plain.fullmatch(text) else f'"{text.translate(_TO_ESCAPE)}"'
