"""The configuration of a Nextflow pipeline: `nextflow.config` and the files that it includes.

Read are `params`, and the settings of processes in `process`, with the selectors `withName` and
`withLabel`; of the profiles only `standard`, which Nextflow applies if a run names none.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskgate_emulator.workflows.definition import Definition
from taskgate_emulator.workflows.groovy import Group, Node, Token, is_token, parse, statements
from taskgate_emulator.workflows.groovy_values import evaluate

__all__ = ["Configuration", "read_configuration"]

_Settings = dict[str, Sequence[Node]]
_MAX_INCLUDES = 1_000
_SKIPPED = frozenset({"def", "if", "else", "catch", "profiles"})


@dataclass(slots=True)
class Configuration:
    """The parameters and the settings of processes."""

    params: dict[str, Any]
    process: _Settings = field(default_factory=dict)
    selected: list[tuple[str, str, _Settings]] = field(default_factory=list)
    """`withName` or `withLabel`, the pattern, and the settings."""

    def settings(self, names: Sequence[str], labels: Sequence[str]) -> Iterator[_Settings]:
        """Yield the settings that override a process's directives, the strongest last.

        Args:
            names: of the process, from its own to the one with all its workflows.
            labels: of the process.
        """
        for kind, values in (("withLabel", labels), *(("withName", [name]) for name in names)):
            for selector, pattern, settings in self.selected:
                if selector == kind and any(_selects(pattern, value) for value in values):
                    yield settings


def read_configuration(definition: Definition, parameters: Mapping[str, Any]) -> Configuration:
    """Read the configuration next to the main file.

    Args:
        definition: of the pipeline.
        parameters: of the run, which override those of the configuration.

    Raises:
        DefinitionError: a file has an error.
    """
    reader = _Reader(definition, parameters)
    folder = posixpath.dirname(definition.main)
    reader.file(posixpath.join(folder, "nextflow.config"))
    return reader.configuration


def _selects(pattern: str, value: str) -> bool:
    negated = pattern.startswith("!")
    try:
        found = re.fullmatch(pattern.removeprefix("!"), value) is not None
    except re.error:
        found = pattern == value
    return found != negated


class _Reader:
    def __init__(self, definition: Definition, parameters: Mapping[str, Any]) -> None:
        self.configuration = Configuration(dict(parameters))
        self._definition = definition
        self._given = frozenset(parameters)
        self._includes = 0

    def file(self, path: str) -> None:
        """Read a file, if it exists."""
        self._includes += 1
        if path in self._definition.files and self._includes < _MAX_INCLUDES:
            for statement in statements(parse(path, self._definition.files[path])):
                self._statement(path, statement)

    def _statement(self, path: str, statement: Sequence[Node]) -> None:
        match statement:
            case [Token(text="includeConfig"), *value]:
                self._include(path, value)
            case [Token(text="params"), Group() as block]:
                self._params(block, self.configuration.params)
            case [Token(text="params"), Token(text="."), Token(text=name), Token(text="="), *value]:
                self._param(self.configuration.params, name, value)
            case [Token(text="process"), Group() as block]:
                self._process(path, block)
            case [
                Token(text="process"),
                Token(text="."),
                Token(text=name),
                Token(text="="),
                *value,
            ]:
                self.configuration.process[name] = value
            case [Token(text="profiles"), Group() as block]:
                self._standard(path, block)
            case [Token(text="try"), Group() as block, *_]:
                self._block(path, block)

    def _block(self, path: str, block: Group) -> None:
        for statement in statements(block.nodes):
            self._statement(path, statement)

    def _standard(self, path: str, block: Group) -> None:
        for statement in statements(block.nodes):
            match statement:
                case [Token(text="standard"), Group() as inner]:
                    self._block(path, inner)

    def _include(self, path: str, nodes: Sequence[Node]) -> None:
        value = evaluate(nodes, {"params": self.configuration.params, "projectDir": "."})
        if isinstance(value, str) and "://" not in value:
            self.file(posixpath.normpath(posixpath.join(posixpath.dirname(path), value)))

    def _params(self, block: Group, into: dict[str, Any]) -> None:
        for statement in statements(block.nodes):
            match statement:
                case [Token(text=name), Token(text="="), *value]:
                    self._param(into, name, value)
                case [Token(kind="name", text=name), Group(bracket="{") as inner]:
                    nested = into.setdefault(name, {})
                    if isinstance(nested, dict):
                        self._params(inner, nested)

    def _param(self, into: dict[str, Any], name: str, value: Sequence[Node]) -> None:
        if into is not self.configuration.params or name not in self._given:
            into[name] = evaluate(value, {"params": self.configuration.params})

    def _process(self, path: str, block: Group) -> None:
        settings = self.configuration.process
        for statement in statements(block.nodes):
            match statement:
                case [
                    Token(text="withName" | "withLabel" as kind),
                    Token(text=":"),
                    Token(text=pattern),
                    Group() as inner,
                ]:
                    own: _Settings = {}
                    self._settings(inner, own)
                    self.configuration.selected.append((kind, pattern, own))
                case [Token(text="includeConfig"), *value]:
                    self._include(path, value)
                case [Token(text=name), Token(text="="), *value]:
                    settings[name] = value
                case [Token(text=name), *value] if value and name not in _SKIPPED:
                    settings[name] = value

    def _settings(self, block: Group, into: _Settings) -> None:
        for statement in statements(block.nodes):
            match statement:
                case [Token(text=name), Token(text="="), *value]:
                    into[name] = value
                case [
                    Token(text="ext"),
                    Token(text="."),
                    Token(text=name),
                    Token(text="="),
                    *value,
                ]:
                    into[f"ext.{name}"] = value
                case [Token(kind="name", text=name), *value] if value and not is_token(
                    value[0], "."
                ):
                    into[name] = value
