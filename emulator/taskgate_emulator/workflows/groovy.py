"""The lexer of Groovy, Nextflow's language: a file becomes tokens, nested in groups by brackets.

Strings are recognized before comments, so a `//` or `/*` in a string is text. A string with
interpolation is a `Template`, whose expressions are nodes, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from taskgate_emulator.workflows.definition import DefinitionError

__all__ = ["Group", "Node", "Template", "Token", "is_token", "parse", "split", "statements"]


@dataclass(frozen=True, slots=True)
class Token:
    """A name, number, operator, string without interpolation, or line end."""

    kind: str
    """`name`, `number`, `op`, `string` or `newline`."""
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Template:
    """A string with interpolation."""

    parts: tuple[str | tuple[Node, ...], ...]
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """What is between two brackets."""

    bracket: str
    """The opening bracket."""
    nodes: tuple[Node, ...]
    line: int


Node = Token | Template | Group

_MAX_DEPTH = 200
"""Deeper brackets than any real script has would exceed Python's stack."""
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SKIPPED = re.compile(r"[ \t\r\f]+|\\\r?\n|//[^\n]*|/\*.*?\*/|\A#![^\n]*", re.DOTALL)
_NAME = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?(?:[LlGgDdFf](?!\w))?")
_OPERATOR = re.compile(
    r"<=>|===|!==|==~|\?\.|\*\.|\?:|->|&&|\|\||[=!<>+*/-]=|\+\+|--|=~|\.\.|.", re.DOTALL
)
_QUOTES = ("'''", '"""', "$/", "'", '"', "/")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_BEFORE_VALUE = frozenset("(,=[{:?!&|~;+-*<>")
"""After one of these, a `/` begins a string; anywhere else it divides."""


def parse(path: str, text: str) -> tuple[Node, ...]:
    """Return the nodes of a file.

    Raises:
        DefinitionError: a string or bracket is not closed; the error has the line.
    """
    return _Lexer(path, text).nodes(None, 1, 0)


def is_token(node: Node | None, *texts: str) -> bool:
    """Return whether a node is a name or operator with one of the texts."""
    return isinstance(node, Token) and node.kind in {"name", "op"} and node.text in texts


def split(nodes: Sequence[Node], operator: str) -> list[list[Node]]:
    """Split nodes at an operator that is not within brackets."""
    parts: list[list[Node]] = [[]]
    for node in nodes:
        if is_token(node, operator):
            parts.append([])
        else:
            parts[-1].append(node)
    return parts


def statements(nodes: Sequence[Node]) -> list[list[Node]]:
    """Split nodes at line ends and semicolons, except within an expression that continues."""
    found: list[list[Node]] = [[]]
    ended = False
    for node in nodes:
        current = found[-1]
        if isinstance(node, Token) and (node.kind == "newline" or node.text == ";"):
            ended = bool(current) and (ended or not _continues(current[-1]))
            continue
        if ended and not _joins(node):
            found.append([])
        found[-1].append(node)
        ended = False
    return [each for each in found if each]


def _continues(node: Node) -> bool:
    return isinstance(node, Token) and node.kind == "op" and node.text not in {"*", "++", "--"}


def _joins(node: Node) -> bool:
    """Return whether a line that begins with a node continues the previous one."""
    return is_token(node, ".", "?.", "?", ":", "?:", "|", "&&", "||", "&", "else", "catch")


class _Lexer:
    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._at = 0
        self._line = 1

    def nodes(self, closing: str | None, opened: int, depth: int) -> tuple[Node, ...]:
        """Return the nodes up to a closing bracket, or to the end."""
        if depth > _MAX_DEPTH:
            raise self._error(opened, f"more than {_MAX_DEPTH} nested brackets")
        found: list[Node] = []
        while self._at < len(self._text):
            skipped = _SKIPPED.match(self._text, self._at)
            if skipped:
                self._move(skipped.end())
                continue
            if self._text[self._at] == closing:
                self._move(self._at + 1)
                return tuple(found)
            found.append(self._node(found[-1] if found else None, depth))
        if closing is not None:
            raise self._error(opened, f"a bracket is not closed by {closing}")
        return tuple(found)

    def _node(self, before: Node | None, depth: int) -> Node:
        text, at, line = self._text, self._at, self._line
        if text[at] == "\n":
            self._move(at + 1)
            return Token("newline", "\n", line)
        for quote in _QUOTES:
            if text.startswith(quote, at) and (quote not in {"/", "$/"} or self._is_slashy(before)):
                return self._string(quote, depth)
        for kind, pattern in (("name", _NAME), ("number", _NUMBER)):
            found = pattern.match(text, at)
            if found:
                self._move(found.end())
                return Token(kind, found[0], line)
        if text[at] in _CLOSING:
            self._move(at + 1)
            return Group(text[at], self.nodes(_CLOSING[text[at]], line, depth + 1), line)
        operator = _OPERATOR.match(text, at)
        word = operator[0] if operator else text[at]
        self._move(at + len(word))
        return Token("op", word, line)

    def _is_slashy(self, before: Node | None) -> bool:
        if before is None or is_token(before, "return", "in"):
            return True
        return isinstance(before, Token) and (
            before.kind == "newline" or (before.kind == "op" and before.text[-1] in _BEFORE_VALUE)
        )

    def _string(self, quote: str, depth: int) -> Node:
        line, end = self._line, "/$" if quote == "$/" else quote
        self._move(self._at + len(quote))
        parts: list[str | tuple[Node, ...]] = [""]
        while not self._text.startswith(end, self._at):
            if self._at >= len(self._text) or (len(end) == 1 and end != "/" and self._ends_line()):
                raise self._error(line, f"a string is not closed by {end}")
            part = self._part(quote, depth)
            if isinstance(part, str) and isinstance(parts[-1], str):
                parts[-1] += part
            else:
                parts.append(part)
        self._move(self._at + len(end))
        if len(parts) == 1 and isinstance(parts[0], str):
            return Token("string", parts[0], line)
        return Template(tuple(parts), line)

    def _ends_line(self) -> bool:
        return self._text[self._at] == "\n"

    def _part(self, quote: str, depth: int) -> str | tuple[Node, ...]:
        """Return the next character of a string, or the nodes of an interpolated expression."""
        text, at = self._text, self._at
        following = text[at + 1 : at + 2]
        if text[at] == "\\" and quote not in {"/", "$/"}:
            self._move(at + 2)
            return _ESCAPES.get(following, following)
        if text[at] == "\\" and quote == "/" and following == "/":
            self._move(at + 2)
            return "/"
        if text[at] == "$" and quote not in {"'", "'''"}:
            dotted = _DOTTED.match(text, at + 1)
            if following == "{":
                self._move(at + 2)
                return self.nodes("}", self._line, depth + 1)
            if dotted:
                line = self._line
                self._move(dotted.end())
                return _Lexer(self._path, dotted[0]).nodes(None, line, depth + 1)
        self._move(at + 1)
        return text[at]

    def _move(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _error(self, line: int, cause: str) -> DefinitionError:
        return DefinitionError(f"{self._path}: line {line}: {cause}")
