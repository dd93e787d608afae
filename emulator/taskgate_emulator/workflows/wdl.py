"""WDL definitions, read by miniwdl.

The workflow is evaluated as its engine would, as far as possible without running tasks:
declarations, array lengths, conditions and resources of tasks. An omitted optional input is null;
only what depends on the output of a task or the content of a file is unknown. A scatter has one
call per element of its array, or one call if the array is unknown. An unknown condition is assumed
to be true, and its opposite to be false. A file with one task and no workflow is one call.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from WDL import Env, Error, Expr, StdLib, Tree, Type, Value, load_async, values_from_json
from WDL._util import parse_byte_size
from WDL.Tree import ReadSourceResult

from taskgate_emulator.workflows.definition import (
    MAX_CALLS,
    Definition,
    DefinitionError,
    PlannedCall,
)

__all__ = ["plan", "template"]

_T = TypeVar("_T")
_Values = Env.Bindings[Value.Base]
_BAD_DOCUMENT = (
    Error.SyntaxError,
    Error.ValidationError,
    Error.MultipleValidationErrors,
    Error.ImportError,
)
_UNKNOWN = (
    Error.RuntimeError,
    NotImplementedError,
    OSError,
    LookupError,
    AttributeError,
    TypeError,
)
"""Raised by evaluation when it needs a file or the output of a task."""
_GIBIBYTE = 2**30
_RESOURCES = frozenset({"cpu", "memory", "container", "docker", "acceleratorCount", "gpuCount"})
_JUNCTIONS: Mapping[str, Callable[[Iterable[bool]], bool]] = {"_land": all, "_lor": any}
_ASSUMED_FALSE = frozenset({"_neq", "_gte", "_lte"})
"""The opposites of `_eqeq`, `_lt` and `_gt`, which are assumed to be true."""


def plan(definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]:
    """Return the calls of a run.

    Raises:
        DefinitionError: the definition has no valid WDL workflow, or the parameters do not fit its
            inputs.
    """
    document = _load(definition)
    target = _target(document)
    try:
        inputs = values_from_json(
            dict(parameters), target.available_inputs, target.required_inputs, target.name
        )
    except Error.InputError as error:
        raise DefinitionError(str(error)) from error
    walk = _Walk(StdLib.Base(document.effective_wdl_version))
    if isinstance(target, Tree.Workflow):
        walk.workflow(target, inputs, _Scope())
    else:
        walk.task(target, target.name, inputs, _Waiting())
    return walk.calls


def template(definition: Definition) -> dict[str, Any]:
    """Return the inputs of the workflow itself, without those of its calls."""
    target = _target(_load(definition))
    required = {binding.name for binding in target.required_inputs}
    return {
        binding.name: {"optional": binding.name not in required}
        for binding in target.available_inputs
        if "." not in binding.name
    }


def _target(document: Tree.Document) -> Tree.Workflow | Tree.Task:
    """Return the workflow of a document, or its only task."""
    if document.workflow is not None:
        return document.workflow
    if len(document.tasks) != 1:
        message = f"The main file has no workflow, but {len(document.tasks)} tasks; add a workflow"
        raise DefinitionError(message)
    return document.tasks[0]


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


class _Unknown(Value.Base):
    """An element of an array whose length is known; evaluation that needs its value fails."""

    def __init__(self) -> None:
        super().__init__(Type.Any(), None)

    def __bool__(self) -> bool:
        raise NotImplementedError

    def __str__(self) -> str:
        raise NotImplementedError

    @property
    def json(self) -> Any:
        """Raise an error, as the value is unknown."""
        raise NotImplementedError

    def coerce(self, desired_type: Type.Base | None = None) -> Value.Base:  # noqa: ARG002 none fits
        """Return the value itself, whatever type is desired."""
        return self


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


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What a call of a task depends on."""

    positions: frozenset[int] = frozenset()
    """The calls that it waits for."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Input to the expression whose value is unknown."""


class _Walk:
    """Collects the calls of a workflow.

    Args:
        library: WDL's functions.
    """

    def __init__(self, library: StdLib.Base) -> None:
        self.calls: list[PlannedCall] = []
        self._library = library
        self._scatters = 0

    def workflow(
        self,
        workflow: Tree.Workflow,
        inputs: _Values,
        scope: _Scope,
        unknown: frozenset[str] = frozenset(),
    ) -> _Values:
        """Collect the calls of a workflow or sub-workflow; return its known outputs.

        Args:
            workflow: that is called.
            inputs: the known ones.
            scope: of the call.
            unknown: the inputs that the caller sets to unknown values.
        """
        given = [each for each in workflow.inputs or () if each.name not in unknown]
        nodes: list[Tree.WorkflowNode] = [*given, *workflow.body]
        end = self._body(nodes, replace(scope, values=inputs, after={}))
        outputs: _Values = Env.Bindings()
        for each in workflow.outputs or ():
            value = None if each.expr is None else self._typed(each, end.values)
            if value is not None:
                outputs = outputs.bind(each.name, value)
        return outputs

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
            ends = []
            if self._holds(node.expr, scope.values):
                ends.append(self._body(node.body, scope.within(node)))
            return _gathered(node, scope, ends, ends[0].values.get if ends else _null)
        return scope

    def _holds(self, expr: Expr.Base, values: _Values) -> bool:
        """Return the value of a condition.

        Whatever is assumed for an unknown condition, its opposite has the opposite value.
        """
        value = self._value(expr, values)
        if isinstance(value, Value.Boolean):
            return bool(value.value)
        if isinstance(expr, Expr.Apply):
            if expr.function_name in _JUNCTIONS:
                return _JUNCTIONS[expr.function_name](
                    self._holds(each, values) for each in expr.arguments
                )
            if expr.function_name == "_negate":
                return not self._holds(expr.arguments[0], values)
        return not (isinstance(expr, Expr.Apply) and expr.function_name in _ASSUMED_FALSE)

    def _declaration(self, node: Tree.Decl, scope: _Scope) -> _Scope:
        values = self._declared(node, scope.values)
        return replace(
            scope, values=values, after={**scope.after, node.workflow_node_id: scope.waits(node)}
        )

    def _declared(self, node: Tree.Decl, values: _Values) -> _Values:
        """Bind a declaration, unless it is bound or unknown."""
        if values.has_binding(node.name):
            return values
        value = self._typed(node, values) if node.expr is not None else Value.Null()
        return values if value is None else values.bind(node.name, value)

    def _typed(self, node: Tree.Decl, values: _Values) -> Value.Base | None:
        value = None if node.expr is None else self._value(node.expr, values)
        try:
            return None if value is None else value.coerce(node.type)
        except _UNKNOWN:
            return None

    def _scatter(self, node: Tree.Scatter, scope: _Scope) -> _Scope:
        self._scatters += 1
        number = self._scatters - 1
        array = self._value(node.expr, scope.values)
        outer = scope.within(node)
        if isinstance(array, Value.Array):
            elements: list[Value.Base | None] = list(array.value)
        else:
            elements = [None]
        if len(self.calls) + len(elements) > MAX_CALLS:
            raise DefinitionError(f"{node.pos.line}: a run has at most {MAX_CALLS} tasks")
        ends = []
        for index, element in enumerate(elements):
            values = outer.values
            if element is not None:
                values = values.bind(node.variable, element)
            named = replace(outer, values=values, suffix=f"{outer.suffix}-{number}-{index}")
            ends.append(self._body(node.body, named))

        def gather(name: str) -> Value.Base | None:
            found = [end.values.get(name) for end in ends]
            if not isinstance(array, Value.Array):
                return None
            return Value.Array(Type.Any(), [_Unknown() if each is None else each for each in found])

        return _gathered(node, scope, ends, gather)

    def _call(self, node: Tree.Call, scope: _Scope) -> _Scope:
        first = len(self.calls)
        given = _under(scope.values, node.name)
        unknown = {}
        for name, expr in node.inputs.items():
            value = self._value(expr, scope.values)
            if value is None:
                unknown[name] = f"{expr}"
            else:
                given = given.bind(name, value)
        callee, waits, values = node.callee, scope.waits(node), scope.values
        if isinstance(callee, Tree.Workflow):
            outputs = self.workflow(callee, given, scope.within(node), frozenset(unknown))
            for each in outputs:
                values = values.bind(f"{node.name}.{each.name}", each.value)
        elif isinstance(callee, Tree.Task):
            self.task(callee, f"{node.name}{scope.suffix}", given, _Waiting(waits, unknown))
        made = frozenset(range(first, len(self.calls)))
        after = {**scope.after, node.workflow_node_id: made or waits}
        return replace(scope, values=values, after=after)

    def task(self, task: Tree.Task, name: str, given: _Values, waiting: _Waiting) -> None:
        """Collect a call of a task.

        Args:
            task: that is called.
            name: of the call.
            given: the known inputs.
            waiting: what the call depends on.
        """
        if len(self.calls) >= MAX_CALLS:
            raise DefinitionError(f"{task.pos.line}: a run has at most {MAX_CALLS} tasks")
        values = given
        for decl in [*(task.inputs or ()), *task.postinputs]:
            if decl.name not in waiting.unknown:
                values = self._declared(decl, values)
        known = {binding.name: _text(binding.value) for binding in values}
        upstream = [self.calls[position].digest() for position in sorted(waiting.positions)]
        content = (task.digest, sorted(known.items()), sorted(waiting.unknown.items()), upstream)
        call = PlannedCall(
            name=name,
            cpus=max(1, math.ceil(self._number(task, values, "cpu") or 1)),
            memory=max(1, math.ceil((self._bytes(task, values) or _GIBIBYTE) / _GIBIBYTE)),
            gpus=self._gpus(task, values),
            image=self._image(task, values),
            after=tuple(sorted(waiting.positions)),
            content=repr(content),
            estimates=tuple(
                f"{entry} of {task.name}"
                for entry, expr in task.runtime.items()
                if entry in _RESOURCES and self._value(expr, values) is None
            ),
        )
        self.calls.append(call)

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
            value = expr.eval(values, self._library)
        except _UNKNOWN:
            return None
        return None if isinstance(value, _Unknown) else value


def _text(value: Value.Base) -> str:
    try:
        return f"{value}"
    except NotImplementedError:
        return "unknown"


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


def _gathered(
    section: Tree.WorkflowSection,
    outer: _Scope,
    ends: list[_Scope],
    gather: Callable[[str], Value.Base | None],
) -> _Scope:
    """Return the scope after a section, whose outputs wait for the calls of all its iterations.

    Args:
        section: a scatter or conditional.
        outer: the scope before it.
        ends: the scope at the end of each iteration.
        gather: returns the value of a name after the section, or None if it is unknown.
    """
    after, values = dict(outer.after), outer.values
    for node_id, each in section.gathers.items():
        known = (end.after.get(node_id, frozenset()) for end in ends)
        after[each.workflow_node_id] = outer.waits(section).union(*known)
        for name in _names(each.final_referee):
            value = gather(name)
            if value is not None:
                values = values.bind(name, value)
    return replace(outer, after=after, values=values)


def _names(node: Tree.Decl | Tree.Call) -> list[str]:
    """Return the names that a node binds."""
    if isinstance(node, Tree.Decl):
        return [node.name]
    return [output.name for output in node.effective_outputs]


def _null(_name: str) -> Value.Base:
    return Value.Null()


def _under(values: _Values, name: str) -> _Values:
    """Return the inputs that the run sets for a call, `workflow.call.input`."""
    found: _Values = Env.Bindings()
    for binding in values:
        prefix, dot, rest = binding.name.partition(".")
        if dot and prefix == name:
            found = found.bind(rest, binding.value)
    return found
