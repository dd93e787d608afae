"""Nextflow definitions: each call of a process in the main workflow is one task.

Nextflow is Groovy, and only running a script shows all that it does. Read is the declarative part:
includes with aliases, workflows and their calls, directives and configuration. A call follows those
whose outputs it takes, directly or by variables. How many tasks a channel makes is unknown; a call
is one task. A condition that is unknown is assumed to be true. A script without an entry workflow
runs each process of the main file, one after the other. Values that are unknown have the default
of Nextflow; the call's `estimates` name them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskgate_emulator.workflows.definition import (
    MAX_CALLS,
    Definition,
    DefinitionError,
    PlannedCall,
)
from taskgate_emulator.workflows.groovy import (
    Group,
    Node,
    Template,
    Token,
    is_token,
    split,
    statements,
)
from taskgate_emulator.workflows.groovy_values import UNKNOWN, evaluate, memory_bytes
from taskgate_emulator.workflows.nextflow_config import Configuration, read_configuration
from taskgate_emulator.workflows.nextflow_script import Process, Script, Subworkflow, read_script

__all__ = ["plan", "template"]

_GIBIBYTE = 2**30
_MAX_NESTED = 50
_Calls = frozenset[int]
_NONE: _Calls = frozenset()


def plan(definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]:
    """Return the calls of a run, as the module describes.

    Raises:
        DefinitionError: the script calls no process, or has an error.
    """
    walk = _Walk(definition, parameters)
    walk.run()
    return walk.calls


def template(definition: Definition) -> dict[str, Any]:
    """Return the parameters that the main file or the configuration sets; all are optional."""
    script = read_script(definition, definition.main)
    names = {**script.params, **read_configuration(definition, {}).params}
    return {name: {"optional": True} for name in names}


@dataclass(slots=True)
class _Scope:
    """What is known within the body of a workflow."""

    script: Script
    prefix: str
    variables: dict[str, _Calls] = field(default_factory=dict)
    """The calls whose outputs a variable has."""
    outputs: dict[str, dict[str, _Calls]] = field(default_factory=dict)
    """The calls of each called name, by output; all of them for an empty output."""
    held: bool = True
    """Whether all conditions around are known."""


class _Walk:
    def __init__(self, definition: Definition, parameters: Mapping[str, Any]) -> None:
        self.calls: list[PlannedCall] = []
        self._definition = definition
        self._configuration: Configuration = read_configuration(definition, parameters)
        self._scripts: dict[str, Script] = {}
        main = self._script(definition.main)
        self._params = {**main.params, **self._configuration.params, **parameters}
        self._inputs = json.dumps(parameters, sort_keys=True, default=str)
        self._depth = 0

    def run(self) -> None:
        """Collect the calls of the entry workflow."""
        script = self._script(self._definition.main)
        scope = _Scope(script, "")
        if "" in script.workflows:
            self._body(script.workflows[""].body, scope)
        else:
            made = _NONE
            for process in script.processes.values():
                made = self._process(process, process.name, scope, made) or made
        if not self.calls:
            raise DefinitionError("The definition has no process that the main workflow calls")

    def _script(self, path: str) -> Script:
        if path not in self._scripts:
            self._scripts[path] = read_script(self._definition, path)
        return self._scripts[path]

    def _body(self, body: Sequence[Sequence[Node]], scope: _Scope) -> None:
        for statement in body:
            self._statement(statement, scope)

    def _statement(self, statement: Sequence[Node], scope: _Scope) -> None:
        match statement:
            case [Token(text="if"), Group(bracket="(") as condition, *rest]:
                self._conditional(condition, rest, scope)
            case [Token(text="def"), *rest]:
                self._statement(rest, scope)
            case [Token(kind="name", text=name), Token(text="="), *value]:
                scope.variables[name] = self._pipe(value, scope)
            case [Group(bracket="(") as targets, Token(text="="), *value]:
                made = self._pipe(value, scope)
                names = [each.text for each in targets.nodes if isinstance(each, Token)]
                scope.variables |= dict.fromkeys(names, made)
            case _:
                self._pipe(statement, scope)

    def _conditional(self, condition: Group, rest: Sequence[Node], scope: _Scope) -> None:
        value = evaluate(condition.nodes, self._names({}))
        block, others = _block(rest)
        known = scope.held
        scope.held = known and value is not UNKNOWN
        if value is UNKNOWN or value:
            self._body(block, scope)
        elif others and is_token(others[0], "else"):
            alternative, _ = _block(others[1:])
            self._body([others[1:]] if is_token(others[1], "if") else alternative, scope)
        scope.held = known

    def _pipe(self, nodes: Sequence[Node], scope: _Scope) -> _Calls:
        """Return the calls whose results an expression has, after adding its own."""
        made = _NONE
        for part in split(nodes, "|"):
            match part:
                case [Group(bracket="(") as group]:
                    stage: Sequence[Node] = group.nodes
                case _:
                    stage = part
            if len(stage) % 2 and all(is_token(each, "&") for each in stage[1::2]):
                results = [self._stage(each, made, scope) for each in stage[::2]]
            else:
                results = [self._expression(stage, scope)]
            made = made.union(*results)
            if len(stage) == 2 and is_token(stage[0], "set") and isinstance(stage[1], Group):  # noqa: PLR2004
                self._set(stage[1], made, scope)
        return made

    def _stage(self, node: Node, before: _Calls, scope: _Scope) -> _Calls:
        if isinstance(node, Token) and node.kind == "name" and self._target(node.text, scope):
            return self._call(node.text, [before], scope)
        return self._expression([node], scope)

    def _expression(self, nodes: Sequence[Node], scope: _Scope) -> _Calls:
        made, position = _NONE, 0
        while position < len(nodes):
            node = nodes[position]
            following = nodes[position + 1] if position + 1 < len(nodes) else None
            dotted = position > 0 and is_token(nodes[position - 1], ".", "?.")
            if isinstance(node, Group):
                made |= self._group(node, scope)
            elif isinstance(node, Template):
                for part in node.parts:
                    made |= _NONE if isinstance(part, str) else self._expression(part, scope)
            elif node.kind == "name" and dotted:
                if node.text in {"set", "tap"} and isinstance(following, Group):
                    self._set(following, made, scope)
            elif node.kind == "name":
                found, position = self._name(nodes, position, scope)
                made |= found
            position += 1
        return made

    def _group(self, group: Group, scope: _Scope) -> _Calls:
        return self._pipe([each for each in group.nodes if not is_token(each, ",", ";")], scope)

    def _name(self, nodes: Sequence[Node], position: int, scope: _Scope) -> tuple[_Calls, int]:
        """Return the calls that a name stands for, and the position of its last node."""
        node = nodes[position]
        name = node.text if isinstance(node, Token) else ""
        following = nodes[position + 1] if position + 1 < len(nodes) else None
        if isinstance(following, Group) and following.bracket == "(" and self._target(name, scope):
            given = [self._pipe(each, scope) for each in split(following.nodes, ",")]
            return self._call(name, given, scope), position + 1
        if name in scope.outputs and is_token(following, "."):
            words = [
                each.text for each in nodes[position : position + 5] if isinstance(each, Token)
            ]
            output = words[4] if len(words) > 4 and words[3] == "." else ""  # noqa: PLR2004
            outputs = scope.outputs[name]
            return outputs.get(output, outputs[""]), position
        return scope.variables.get(name, _NONE), position

    def _set(self, group: Group, made: _Calls, scope: _Scope) -> None:
        for each in group.nodes:
            if isinstance(each, Token) and each.kind == "name":
                scope.variables[each.text] = made

    def _target(self, name: str, scope: _Scope) -> tuple[Script, Process | Subworkflow] | None:
        """Return what a name calls, and its script."""
        script, original = scope.script, name
        for _ in range(_MAX_NESTED):
            if original in script.processes:
                return script, script.processes[original]
            if original in script.workflows:
                return script, script.workflows[original]
            if original not in script.includes:
                return None
            path, original = script.includes[original]
            script = self._script(path)
        return None

    def _call(self, name: str, given: Sequence[_Calls], scope: _Scope) -> _Calls:
        target = self._target(name, scope)
        if target is None:
            return _NONE
        script, callee = target
        if isinstance(callee, Process):
            made = self._process(callee, name, scope, _NONE.union(*given))
            scope.outputs[name] = {"": made}
            return made
        if self._depth >= _MAX_NESTED:
            raise DefinitionError(f"{script.path}: the workflow {name} calls itself")
        self._depth += 1
        inner = _Scope(script, f"{scope.prefix}{name}:", held=scope.held)
        inner.variables |= dict(zip(callee.takes, given, strict=False))
        self._body(callee.body, inner)
        emits = {each: self._pipe(value, inner) for each, value in callee.emits.items()}
        self._depth -= 1
        scope.outputs[name] = {"": _NONE.union(*emits.values()), **emits}
        return scope.outputs[name][""]

    def _process(self, process: Process, name: str, scope: _Scope, after: _Calls) -> _Calls:
        if len(self.calls) >= MAX_CALLS:
            raise DefinitionError(f"A run has at most {MAX_CALLS} tasks")
        settings = _Settings(process, scope.prefix + name, self._configuration, self._params)
        if settings.is_skipped():
            return after
        estimates = ["its number of tasks", *settings.estimates()]
        if not scope.held:
            estimates.append("whether it runs")
        call = PlannedCall(
            name=scope.prefix + name,
            cpus=settings.cpus,
            memory=settings.memory,
            gpus=settings.gpus,
            image=settings.image,
            after=tuple(sorted(after)),
            estimates=tuple(estimates),
            content=process.source + self._inputs,
        )
        self.calls.append(call)
        return frozenset({len(self.calls) - 1})

    def _names(self, others: Mapping[str, Any]) -> dict[str, Any]:
        return {"params": self._params, **others}


class _Settings:
    """The values of a process's directives and settings.

    https://www.nextflow.io/docs/latest/config.html#process-configuration has their precedence.
    """

    def __init__(
        self, process: Process, name: str, configuration: Configuration, params: Mapping[str, Any]
    ) -> None:
        parts = name.split(":")
        own = dict(process.directives)
        labels = [self._text(nodes) for word, nodes in process.directives if word == "label"]
        names = dict.fromkeys((process.name, parts[-1], name))
        self._nodes: dict[str, Sequence[Node]] = {**configuration.process, **own}
        for selected in configuration.settings(list(names), labels):
            self._nodes |= selected
        self._when = process.when
        self._names: dict[str, Any] = {
            "params": params,
            "workflow": _Engine(containerEngine="docker"),
            "task": {"attempt": 1, "ext": self._extensions(params), "process": name},
        }
        limits = self._value("resourceLimits")
        self._limits: Mapping[str, Any] = limits if isinstance(limits, Mapping) else {}
        self.cpus = max(1, math.ceil(self._limited("cpus", self._number("cpus") or 1)))
        self._names["task"] |= {"cpus": self.cpus}
        size = memory_bytes(self._value("memory")) or _GIBIBYTE
        self.memory = max(1, math.ceil(self._limited("memory", size) / _GIBIBYTE))
        self._names["task"] |= {"memory": size}
        self.gpus = self._accelerators()
        image = self._value("container")
        self.image = image if isinstance(image, str) and image else None

    def is_skipped(self) -> bool:
        """Return whether the process's `when` is false."""
        value = evaluate(self._when, self._names) if self._when else True
        return value is not UNKNOWN and not value

    def estimates(self) -> Iterator[str]:
        """Yield the settings whose values are unknown."""
        for name in ("cpus", "memory", "accelerator", "container"):
            if self._value(name) is UNKNOWN:
                yield name

    def _extensions(self, params: Mapping[str, Any]) -> dict[str, Any]:
        names = {"params": params}
        return {
            key.removeprefix("ext."): evaluate(value, names)
            for key, value in self._nodes.items()
            if key.startswith("ext.")
        }

    def _text(self, nodes: Sequence[Node]) -> str:
        value = evaluate(nodes, {})
        return value if isinstance(value, str) else ""

    def _value(self, name: str) -> Any:
        nodes = self._nodes.get(name)
        if nodes is None:
            return None
        match nodes:
            case [Group(bracket="(") as arguments]:
                nodes = arguments.nodes
        first = split(nodes, ",")[0]
        options = len(first) > 1 and is_token(first[1], ":")
        return evaluate([Group("[", tuple(nodes), 0)] if options else first, self._names)

    def _number(self, name: str) -> float | None:
        value = self._value(name)
        if isinstance(value, str) and value.strip().isdigit():
            return int(value)
        known = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if known and math.isfinite(value) else None

    def _limited(self, name: str, value: float) -> float:
        limits = (
            memory_bytes(self._limits.get(name)),
            memory_bytes(self._names["params"].get(f"max_{name}")),
        )
        return min([value, *(limit for limit in limits if limit)])

    def _accelerators(self) -> int:
        value = self._value("accelerator")
        if isinstance(value, Mapping):
            value = value.get("request", value.get("limit", 1))
        return value if isinstance(value, int) and value > 0 else 0


class _Engine(dict[str, Any]):
    """The metadata of a run; what is not known of it is UNKNOWN rather than null."""

    def get(self, key: str, default: Any = UNKNOWN) -> Any:
        """Return a known value, or UNKNOWN."""
        return super().get(key, default)


def _block(nodes: Sequence[Node]) -> tuple[list[Sequence[Node]], Sequence[Node]]:
    """Return the statements of a branch, and the nodes after it."""
    if nodes and isinstance(nodes[0], Group) and nodes[0].bracket == "{":
        return list(statements(nodes[0].nodes)), nodes[1:]
    return [nodes], []
