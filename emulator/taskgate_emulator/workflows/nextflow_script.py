"""The declarations of a Nextflow script: its processes, workflows, includes and parameters."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskgate_emulator.workflows.definition import Definition, DefinitionError
from taskgate_emulator.workflows.groovy import (
    Group,
    Node,
    Token,
    is_token,
    parse,
    split,
    statements,
)
from taskgate_emulator.workflows.groovy_values import UNKNOWN, evaluate

__all__ = ["Process", "Script", "Subworkflow", "read_script"]

_SECTIONS = frozenset({"input", "output", "when", "script", "shell", "exec", "stub", "topic"})
_WORKFLOW_SECTIONS = frozenset({"take", "main", "emit", "publish", "onComplete", "onError"})


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a script."""

    name: str
    directives: Sequence[tuple[str, Sequence[Node]]]
    """Name and value; a directive may occur several times."""
    when: Sequence[Node]
    source: str
    """What distinguishes it from a changed process."""


@dataclass(frozen=True, slots=True)
class Subworkflow:
    """A workflow of a script."""

    takes: Sequence[str]
    body: Sequence[Sequence[Node]]
    """The statements of `main`."""
    emits: Mapping[str, Sequence[Node]]


@dataclass(slots=True)
class Script:
    """The declarations of a file."""

    path: str
    processes: dict[str, Process] = field(default_factory=dict)
    workflows: dict[str, Subworkflow] = field(default_factory=dict)
    """The key of the entry workflow is empty."""
    includes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Alias to the path of a file and the name there."""
    params: dict[str, Any] = field(default_factory=dict)


def read_script(definition: Definition, path: str) -> Script:
    """Read the declarations of a file.

    Raises:
        DefinitionError: the file is missing or has an error.
    """
    if path not in definition.files:
        raise DefinitionError(f"The definition has no file {path}")
    script = Script(path)
    nodes = [each for each in parse(path, definition.files[path]) if not _is_line_end(each)]
    for position, node in enumerate(nodes):
        following = nodes[position + 1 : position + 4]
        if is_token(node, "process"):
            _add_process(script, following)
        elif is_token(node, "workflow"):
            _add_workflow(script, following)
        elif is_token(node, "include"):
            _add_include(script, definition, following)
    for statement in statements(parse(path, definition.files[path])):
        _add_param(script, statement)
    return script


def _add_process(script: Script, following: Sequence[Node]) -> None:
    match following:
        case [Token(kind="name" | "string", text=name), Group(bracket="{") as body, *_]:
            script.processes[name] = _process(name, body)


def _process(name: str, body: Group) -> Process:
    directives: list[tuple[str, Sequence[Node]]] = []
    when: list[Node] = []
    section = ""
    for statement in statements(body.nodes):
        found, rest = _section(statement, _SECTIONS)
        section = found or section
        head = rest[0] if rest else None
        if section == "when":
            when += rest
        elif not section and isinstance(head, Token) and head.kind == "name":
            value = rest[2:] if len(rest) > 1 and is_token(rest[1], "=") else rest[1:]
            directives.append((head.text, value))
    return Process(name, directives, when, json.dumps(repr(body)))


def _section(statement: Sequence[Node], names: frozenset[str]) -> tuple[str, Sequence[Node]]:
    """Return the section that a statement begins, if any, and the rest of the statement."""
    if len(statement) > 1 and is_token(statement[0], *names) and is_token(statement[1], ":"):
        head = statement[0]
        return (head.text if isinstance(head, Token) else "", statement[2:])
    return "", statement


def _add_workflow(script: Script, following: Sequence[Node]) -> None:
    match following:
        case [Group(bracket="{") as body, *_]:
            script.workflows[""] = _workflow(body)
        case [Token(kind="name", text=name), Group(bracket="{") as body, *_]:
            script.workflows[name] = _workflow(body)


def _workflow(body: Group) -> Subworkflow:
    takes: list[str] = []
    main: list[Sequence[Node]] = []
    emits: dict[str, Sequence[Node]] = {}
    section = "main"
    for statement in statements(body.nodes):
        found, rest = _section(statement, _WORKFLOW_SECTIONS)
        section = found or section
        head = rest[0] if rest else None
        if not isinstance(head, Token):
            continue
        if section == "take":
            takes.append(head.text)
        elif section == "main":
            main.append(rest)
        elif section == "emit":
            named = len(rest) > 1 and is_token(rest[1], "=")
            emits[head.text] = rest[2:] if named else rest
    return Subworkflow(takes, main, emits)


def _add_include(script: Script, definition: Definition, following: Sequence[Node]) -> None:
    match following:
        case [Group(bracket="{") as names, Token(text="from"), Token(kind="string", text=source)]:
            if source.startswith("plugin/"):
                return
            path = _module_path(definition, script.path, source)
            plain = [each for each in names.nodes if not _is_line_end(each)]
            for entry in split(plain, ";"):
                words = [each.text for each in entry if isinstance(each, Token)]
                if words:
                    script.includes[words[-1]] = (path, words[0])


def _module_path(definition: Definition, importer: str, source: str) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), source))
    for candidate in (path, f"{path}.nf", f"{path}/main.nf"):
        if candidate in definition.files:
            return candidate
    raise DefinitionError(f"{importer}: the definition has no file {path}.nf")


def _add_param(script: Script, statement: Sequence[Node]) -> None:
    """Add what `params.name = value` or a block `params { name = value }` sets."""
    match statement:
        case [Token(text="params"), Token(text="."), Token(text=name), Token(text="="), *value]:
            script.params[name] = evaluate(value, {"params": script.params})
        case [Token(text="params"), Group(bracket="{") as block]:
            for each in statements(block.nodes):
                match each:
                    case [Token(text=name), *middle] if any(is_token(x, "=") for x in middle):
                        value = split(middle, "=")[1]
                        script.params[name] = evaluate(value, {"params": script.params})
                    case [Token(text=name), Token(text=":"), *_]:
                        script.params[name] = UNKNOWN


def _is_line_end(node: Node) -> bool:
    return isinstance(node, Token) and node.kind == "newline"
