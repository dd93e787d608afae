"""WDL definitions, read by miniwdl.

The workflow is evaluated as its engine would, as far as possible without running tasks:
declarations, array lengths, conditions and resources of tasks. A scatter has one call per element
of its array, or one call if a task returns the array. A condition that depends on a task is assumed
to be true.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from WDL import Env, Error, Expr, StdLib, Tree, Value, load_async, values_from_json
from WDL._util import parse_byte_size
from WDL.Tree import ReadSourceResult

from taskgate_emulator.workflows.definition import Definition, DefinitionError, PlannedCall

__all__ = ["plan", "template"]

_T = TypeVar("_T")
_Values = Env.Bindings[Value.Base]
_BAD_DOCUMENT = (
    Error.SyntaxError,
    Error.ValidationError,
    Error.MultipleValidationErrors,
    Error.ImportError,
)
_UNKNOWN = (Error.RuntimeError, NotImplementedError, OSError, KeyError, AttributeError)
"""Raised by evaluation when it needs a file or the output of a task."""
_GIBIBYTE = 2**30


def plan(definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]:
    """Return the calls of a run.

    Raises:
        DefinitionError: the definition has no valid WDL workflow, or the parameters do not fit its
            inputs.
    """
    document = _load(definition)
    workflow = _workflow(document)
    try:
        inputs = values_from_json(
            dict(parameters), workflow.available_inputs, workflow.required_inputs, workflow.name
        )
    except Error.InputError as error:
        raise DefinitionError(str(error)) from error
    walk = _Walk(StdLib.Base(document.effective_wdl_version))
    walk.workflow(workflow, inputs, _Scope())
    return walk.calls


def template(definition: Definition) -> dict[str, Any]:
    """Return the inputs of the workflow itself, without those of its calls."""
    workflow = _workflow(_load(definition))
    required = {binding.name for binding in workflow.required_inputs}
    return {
        binding.name: {"optional": binding.name not in required}
        for binding in workflow.available_inputs
        if "." not in binding.name
    }


def _workflow(document: Tree.Document) -> Tree.Workflow:
    if document.workflow is None:
        raise DefinitionError("The main file has no workflow")
    return document.workflow


def _load(definition: Definition) -> Tree.Document:
    async def read(uri: str, _path: list[str], importer: Tree.Document | None) -> Any:
        folder = posixpath.dirname(importer.pos.abspath) if importer else ""
        path = posixpath.normpath(posixpath.join(folder, uri))
        if path not in definition.files:
            raise FileNotFoundError(path)
        return ReadSourceResult(source_text=definition.files[path], abspath=path)

    lenient = definition.engine == "WDL_LENIENT"
    loading = load_async(definition.main, check_quant=not lenient, read_source=read)
    try:
        return _finished(loading)
    except _BAD_DOCUMENT as error:
        raise DefinitionError(f"{definition.main}: {error}") from error


def _finished(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of a coroutine that never waits, within a running event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("reading from memory does not wait")


@dataclass(frozen=True, slots=True)
class _Scope:
    """The known values and dependencies at a point of a workflow."""

    values: _Values = field(default_factory=Env.Bindings)
    after: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Node to the calls that it waits for."""
    base: frozenset[int] = frozenset()
    """The calls that everything in the scope waits for."""
    suffix: str = ""
    """The suffix of the names of calls in a scatter."""

    def waits(self, node: Tree.WorkflowNode) -> frozenset[int]:
        """Return the calls that a node waits for."""
        known = (self.after.get(each, frozenset()) for each in node.workflow_node_dependencies)
        return self.base.union(*known)

    def within(self, section: Tree.WorkflowNode) -> _Scope:
        """Return the scope inside a section, which waits for whatever the section waits for."""
        return replace(self, base=self.waits(section))


class _Walk:
    """Collects the calls of a workflow.

    Args:
        library: WDL's functions.
    """

    def __init__(self, library: StdLib.Base) -> None:
        self.calls: list[PlannedCall] = []
        self._library = library
        self._scatters = 0

    def workflow(self, workflow: Tree.Workflow, inputs: _Values, scope: _Scope) -> None:
        """Collect the calls of a workflow or sub-workflow."""
        nodes: list[Tree.WorkflowNode] = [*(workflow.inputs or ()), *workflow.body]
        self._body(nodes, replace(scope, values=inputs, after={}))

    def _body(self, nodes: Iterable[Tree.WorkflowNode], scope: _Scope) -> _Scope:
        """Visit nodes after their dependencies; return the resulting scope."""
        waiting = list(nodes)
        while waiting:
            missing = frozenset().union(*(_given(node) for node in waiting))
            # Some node is always ready: miniwdl rejects circular dependencies.
            node = next(each for each in waiting if not (_needed(each) - _given(each)) & missing)
            scope = self._node(node, scope)
            waiting.remove(node)
        return scope

    def _node(self, node: Tree.WorkflowNode, scope: _Scope) -> _Scope:
        if isinstance(node, Tree.Decl):
            return self._declaration(node, scope)
        if isinstance(node, Tree.Call):
            return self._call(node, scope)
        if isinstance(node, Tree.Scatter):
            return self._scatter(node, scope)
        if isinstance(node, Tree.Conditional):
            held = self._value(node.expr, scope.values)
            skipped = isinstance(held, Value.Boolean) and not held.value
            inner = scope if skipped else self._body(node.body, scope.within(node))
            return _gathered(node, scope, [] if skipped else [inner])
        return scope

    def _declaration(self, node: Tree.Decl, scope: _Scope) -> _Scope:
        values = scope.values
        if not values.has_binding(node.name) and node.expr is not None:
            value = self._value(node.expr, values)
            if value is not None:
                values = values.bind(node.name, value)
        return replace(
            scope, values=values, after={**scope.after, node.workflow_node_id: scope.waits(node)}
        )

    def _scatter(self, node: Tree.Scatter, scope: _Scope) -> _Scope:
        self._scatters += 1
        number = self._scatters - 1
        array = self._value(node.expr, scope.values)
        outer = scope.within(node)
        if isinstance(array, Value.Array):
            elements: list[Value.Base | None] = list(array.value)
        else:
            elements = [None]
        ends = []
        for index, element in enumerate(elements):
            values = outer.values
            if element is not None:
                values = values.bind(node.variable, element)
            named = replace(outer, values=values, suffix=f"{outer.suffix}-{number}-{index}")
            ends.append(self._body(node.body, named))
        return _gathered(node, scope, ends)

    def _call(self, node: Tree.Call, scope: _Scope) -> _Scope:
        first = len(self.calls)
        given = _under(scope.values, node.name)
        for name, expr in node.inputs.items():
            value = self._value(expr, scope.values)
            if value is not None:
                given = given.bind(name, value)
        callee, waits = node.callee, scope.waits(node)
        if isinstance(callee, Tree.Workflow):
            self.workflow(callee, given, scope.within(node))
        elif isinstance(callee, Tree.Task):
            name = f"{node.name}{scope.suffix}"
            self.calls.append(self._planned(callee, name, given, waits, node))
        made = frozenset(range(first, len(self.calls)))
        return replace(scope, after={**scope.after, node.workflow_node_id: made or waits})

    def _planned(
        self, task: Tree.Task, name: str, given: _Values, waits: frozenset[int], node: Tree.Call
    ) -> PlannedCall:
        values = given
        for decl in [*(task.inputs or ()), *task.postinputs]:
            if not values.has_binding(decl.name) and decl.expr is not None:
                value = self._value(decl.expr, values)
                if value is not None:
                    values = values.bind(decl.name, value)
        known = {binding.name: f"{binding.value}" for binding in values}
        unknown = {each: f"{expr}" for each, expr in node.inputs.items() if each not in known}
        upstream = [self.calls[position].digest() for position in sorted(waits)]
        return PlannedCall(
            name=name,
            cpus=max(1, math.ceil(self._number(task, values, "cpu") or 1)),
            memory=max(1, math.ceil((self._bytes(task, values) or _GIBIBYTE) / _GIBIBYTE)),
            gpus=self._gpus(task, values),
            image=self._image(task, values),
            after=tuple(sorted(waits)),
            content=repr((task.digest, sorted(known.items()), sorted(unknown.items()), upstream)),
        )

    def _runtime(self, task: Tree.Task, values: _Values, *names: str) -> Value.Base | None:
        """Return the first existing entry of the task's runtime section."""
        for name in names:
            if name in task.runtime:
                return self._value(task.runtime[name], values)
        return None

    def _number(self, task: Tree.Task, values: _Values, *names: str) -> float | None:
        found = self._runtime(task, values, *names)
        try:
            return float(found.value) if found is not None else None
        except (TypeError, ValueError):
            return None

    def _bytes(self, task: Tree.Task, values: _Values) -> float | None:
        found = self._runtime(task, values, "memory")
        if isinstance(found, Value.Int):
            return float(found.value)
        try:
            # Accepts "8 GB" and the like.
            return parse_byte_size(found.value) if found is not None else None
        except (TypeError, ValueError, Error.RuntimeError):
            return None

    def _gpus(self, task: Tree.Task, values: _Values) -> int:
        count = self._number(task, values, "acceleratorCount", "gpuCount", "gpu")
        return int(count) if count else int("acceleratorType" in task.runtime)

    def _image(self, task: Tree.Task, values: _Values) -> str | None:
        found = self._runtime(task, values, "container", "docker")
        if isinstance(found, Value.Array) and found.value:
            found = found.value[0]
        return found.value if isinstance(found, Value.String) else None

    def _value(self, expr: Expr.Base, values: _Values) -> Value.Base | None:
        """Return the value of an expression, or None if it depends on a task."""
        try:
            return expr.eval(values, self._library)
        except _UNKNOWN:
            return None


def _given(node: Tree.WorkflowNode) -> frozenset[str]:
    """Return the ids of a node and everything in it."""
    if not isinstance(node, Tree.WorkflowSection):
        return frozenset({node.workflow_node_id})
    gathers = {gather.workflow_node_id for gather in node.gathers.values()}
    return frozenset({node.workflow_node_id, *gathers}).union(*(_given(each) for each in node.body))


def _needed(node: Tree.WorkflowNode) -> frozenset[str]:
    """Return the ids that a node and everything in it depend on."""
    needed = frozenset(node.workflow_node_dependencies)
    if isinstance(node, Tree.WorkflowSection):
        needed = needed.union(*(_needed(each) for each in node.body))
    return needed


def _gathered(section: Tree.WorkflowSection, outer: _Scope, ends: list[_Scope]) -> _Scope:
    """Return the scope after a section, whose outputs wait for the calls of all its iterations."""
    after = dict(outer.after)
    for node_id, gather in section.gathers.items():
        known = (end.after.get(node_id, frozenset()) for end in ends)
        after[gather.workflow_node_id] = outer.waits(section).union(*known)
    return replace(outer, after=after)


def _under(values: _Values, name: str) -> _Values:
    """Return the inputs that the run sets for a call, `workflow.call.input`."""
    found: _Values = Env.Bindings()
    for binding in values:
        prefix, dot, rest = binding.name.partition(".")
        if dot and prefix == name:
            found = found.bind(rest, binding.value)
    return found
