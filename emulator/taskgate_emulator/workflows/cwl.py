"""CWL definitions: each job of a command line tool is one task.

Steps run after the steps that their `in` refers to, those of a sub-workflow in its place. A step
that scatters is one job per element, or per combination of elements; if the length of an array is
unknown, it is one job. Expressions are evaluated as far as they are references, arithmetic or
comparisons of inputs. A condition that is unknown is assumed to be true.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgate_emulator.workflows.cwl_documents import Documents, fragment
from taskgate_emulator.workflows.definition import (
    MAX_CALLS,
    Definition,
    DefinitionError,
    PlannedCall,
)
from taskgate_emulator.workflows.groovy import parse
from taskgate_emulator.workflows.groovy_values import UNKNOWN, evaluate

__all__ = ["plan", "template"]

_MEBIBYTES = 1_024
_MAX_NESTED = 50
_REFERENCE = re.compile(r"\$\(((?:[^()]|\([^()]*\))*)\)")
_Calls = frozenset[int]
_NONE: _Calls = frozenset()


@dataclass(frozen=True, slots=True)
class _Held:
    """A value, and the calls that it comes from."""

    value: Any = None
    calls: _Calls = _NONE


_Values = Mapping[str, _Held]


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a process runs."""

    requirements: Sequence[Sequence[Any]] = ()
    """Of the steps and workflows around, the innermost first."""
    hints: Sequence[Sequence[Any]] = ()
    after: _Calls = _NONE
    depth: int = 0

    def within(self, node: Any) -> _Scope:
        """Return the scope in a workflow or step."""
        return _Scope(
            (node.requirements or (), *self.requirements),
            (node.hints or (), *self.hints),
            self.after,
            self.depth + 1,
        )

    def requirement(self, name: str) -> Any:
        """Return the innermost requirement with a name, or else the innermost hint."""
        for section in (*self.requirements, *self.hints):
            for node in section:
                if fragment(f"{_member(node, 'class')}").endswith(name):
                    return node
        return None


def plan(definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]:
    """Return the calls of a run, as the module describes.

    Raises:
        DefinitionError: a document or reference is invalid, or steps are cyclic.
    """
    walk = _Walk(Documents(definition))
    walk.run(parameters)
    return walk.calls


def template(definition: Definition) -> dict[str, Any]:
    """Return the inputs of the main process."""
    return {_name(each.id): _described(each) for each in Documents(definition).main().inputs}


def _described(parameter: Any) -> dict[str, Any]:
    kind = parameter.type_
    optional = parameter.default is not None or kind == "null"
    optional = optional or (isinstance(kind, list) and "null" in kind)
    doc = parameter.doc
    return {"optional": optional, **({"description": doc} if isinstance(doc, str) and doc else {})}


class _Walk:
    """Collects the calls of a process.

    Args:
        documents: that have the processes.
    """

    def __init__(self, documents: Documents) -> None:
        self.calls: list[PlannedCall] = []
        self._documents = documents
        self._names: dict[str, int] = {}

    def run(self, parameters: Mapping[str, Any]) -> None:
        """Collect the calls of the main process."""
        values = {name: _Held(_known(value)) for name, value in parameters.items()}
        main = self._documents.main()
        name = fragment(main.id).rpartition("/")[2].removesuffix(".cwl")
        self._process(main, name, values, _Scope())

    def _process(self, process: Any, name: str, given: _Values, scope: _Scope) -> _Values:
        """Collect the calls of a process; return its outputs."""
        if scope.depth > _MAX_NESTED:
            raise DefinitionError(f"The workflow {name} runs itself")
        values = dict(given)
        for each in process.inputs:
            held = values.get(_name(each.id), _Held())
            if held.value is None:
                values[_name(each.id)] = _Held(_known(each.default), held.calls)
        inner = scope.within(process)
        if process.class_ == "Workflow":
            return self._workflow(process, values, inner)
        after = scope.after.union(*(held.calls for held in values.values()))
        if process.class_ == "CommandLineTool":
            after = self._tool(process, name, values, inner, after)
        # The engine evaluates an ExpressionTool itself.
        return {_name(each.id): _Held(UNKNOWN, after) for each in process.outputs}

    def _workflow(self, workflow: Any, values: _Values, scope: _Scope) -> _Values:
        known = dict(values)
        waiting = {_name(step.id): step for step in workflow.steps}
        names = frozenset(waiting)
        while waiting:
            ready = [
                name for name, step in waiting.items() if not _sources(step, names) & waiting.keys()
            ]
            if not ready:
                raise DefinitionError("The steps of the workflow have a circular dependency")
            for name in ready:
                outputs = self._step(waiting.pop(name), name, known, scope)
                known |= {f"{name}/{output}": held for output, held in outputs.items()}
        return {
            _name(each.id): _merged(each.outputSource, known, names) for each in workflow.outputs
        }

    def _step(self, step: Any, name: str, known: _Values, scope: _Scope) -> _Values:
        names = frozenset(each.rpartition("/")[0] for each in known if "/" in each)
        inputs = {_name(each.id): _input(each, known, names) for each in step.in_}
        run = self._documents.process(step.run) if isinstance(step.run, str) else step.run
        over = [_name(each) for each in _listed(step.scatter)]
        jobs = list(_jobs(name, over, step.scatterMethod, inputs)) if over else [inputs]
        if len(self.calls) + len(jobs) > MAX_CALLS:
            raise DefinitionError(f"The step {name} makes more than {MAX_CALLS} tasks")
        results = [self._job(step, run, name, job, scope) for job in jobs]
        if not over:
            return results[0]
        sized = all(isinstance(inputs[each].value, list) for each in over if each in inputs)
        after = scope.after.union(*(held.calls for held in inputs.values()))
        return {
            _name(f"{each if isinstance(each, str) else each.id}"): _gathered(
                _name(f"{each if isinstance(each, str) else each.id}"), results, after, sized=sized
            )
            for each in step.out
        }

    def _job(self, step: Any, run: Any, name: str, inputs: _Values, scope: _Scope) -> _Values:
        values = {key: held.value for key, held in inputs.items()}
        for each in step.in_:
            if each.valueFrom is not None:
                key = _name(each.id)
                value = _evaluated(each.valueFrom, {"inputs": values, "self": values[key]})
                inputs = {**inputs, key: _Held(value, inputs[key].calls)}
        values = {key: held.value for key, held in inputs.items()}
        condition = _evaluated(getattr(step, "when", None), {"inputs": values})
        calls = scope.after.union(*(held.calls for held in inputs.values()))
        if condition is not None and condition is not UNKNOWN and not condition:
            return {_name(each.id): _Held(None, calls) for each in run.outputs}
        outer = scope.within(step)
        # Whatever decides whether a process runs also decides when.
        inner = (
            outer
            if condition is None
            else _Scope(outer.requirements, outer.hints, calls, outer.depth)
        )
        return self._process(run, name, inputs, inner)

    def _tool(self, tool: Any, name: str, values: _Values, scope: _Scope, after: _Calls) -> _Calls:
        if len(self.calls) >= MAX_CALLS:
            raise DefinitionError(f"A run has at most {MAX_CALLS} tasks")
        self._names[name] = number = self._names.get(name, 0) + 1
        inputs = {key: held.value for key, held in values.items()}
        resources = _Resources(scope, inputs)
        source = json.dumps([tool.save(), inputs], sort_keys=True, default=str)
        call = PlannedCall(
            # As in the engine, the first of the calls with one name has no number.
            name=f"{name}_{number}" if number > 1 else name,
            cpus=max(1, math.ceil(resources.number("ResourceRequirement", "cores", 1))),
            memory=max(
                1, math.ceil(resources.number("ResourceRequirement", "ram", 1) / _MEBIBYTES)
            ),
            gpus=resources.gpus(),
            image=resources.image(),
            after=tuple(sorted(after)),
            estimates=tuple(resources.estimates),
            content=source,
        )
        self.calls.append(call)
        return frozenset({len(self.calls) - 1})


class _Resources:
    """The resources that the requirements of a job ask for."""

    def __init__(self, scope: _Scope, inputs: Mapping[str, Any]) -> None:
        self.estimates: list[str] = []
        self._scope = scope
        self._names = {"inputs": inputs}

    def number(self, requirement: str, resource: str, default: float) -> float:
        """Return the minimum of a resource, or its maximum if only that is given."""
        node = self._scope.requirement(requirement)
        for name in (f"{resource}Min", f"{resource}Max"):
            value = _evaluated(_member(node, name), self._names)
            if value is UNKNOWN:
                self.estimates.append(name)
            elif isinstance(value, (int, float)) and math.isfinite(value):
                return value
        return default

    def gpus(self) -> int:
        """Return the number of accelerators."""
        if self._scope.requirement("CUDARequirement") is None:
            return 0
        return int(self.number("CUDARequirement", "cudaDeviceCount", 1))

    def image(self) -> str | None:
        """Return the container image."""
        image = _member(self._scope.requirement("DockerRequirement"), "dockerPull")
        return image if isinstance(image, str) else None


def _member(node: Any, name: str) -> Any:
    """Return a member of a requirement, which cwl-utils loads, or of an unknown hint."""
    if isinstance(node, Mapping):
        return node.get(name)
    return getattr(node, "class_" if name == "class" else name, None)


def _name(uri: str) -> str:
    """Return the last part of the id of an input, output or step."""
    return fragment(uri).rpartition("/")[2]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _source(uri: str, steps: Iterable[str]) -> str:
    """Return `step/output`, or the name of an input of the workflow."""
    path, _, name = fragment(uri).rpartition("/")
    step = path.rpartition("/")[2]
    return f"{step}/{name}" if step in steps else name


def _sources(step: Any, steps: frozenset[str]) -> set[str]:
    """Return the steps that a step depends on."""
    sources = [_source(uri, steps) for each in step.in_ for uri in _listed(each.source)]
    return {each.rpartition("/")[0] for each in sources if "/" in each}


def _input(parameter: Any, known: _Values, steps: Iterable[str]) -> _Held:
    held = _merged(parameter.source, known, steps)
    if held.value is None and parameter.default is not None:
        return _Held(_known(parameter.default), held.calls)
    return held


def _merged(source: Any, known: _Values, steps: Iterable[str]) -> _Held:
    held = [known.get(_source(each, steps), _Held()) for each in _listed(source)]
    calls = _NONE.union(*(each.calls for each in held))
    if isinstance(source, list) and len(source) > 1:
        return _Held([each.value for each in held], calls)
    return _Held(held[0].value if held else None, calls)


def _jobs(name: str, over: Sequence[str], method: str | None, inputs: _Values) -> Iterator[_Values]:
    """Yield the inputs of each job of a step that scatters."""
    arrays = [inputs.get(each, _Held()).value for each in over]
    # Unknown arrays have one element that is unknown.
    elements = [array if isinstance(array, list) else [UNKNOWN] for array in arrays]
    if len(over) > 1 and method == "dotproduct":
        if all(isinstance(array, list) for array in arrays) and len(set(map(len, elements))) > 1:
            raise DefinitionError(f"The step {name} scatters over arrays of different lengths")
        combinations: Iterable[tuple[Any, ...]] = zip(*elements, strict=False)
    else:
        if math.prod(map(len, elements)) > MAX_CALLS:
            raise DefinitionError(f"The step {name} makes more than {MAX_CALLS} tasks")
        combinations = itertools.product(*elements)
    for values in combinations:
        scattered = {
            each: _Held(value, inputs.get(each, _Held()).calls)
            for each, value in zip(over, values, strict=True)
        }
        yield {**inputs, **scattered}


def _gathered(output: str, results: Sequence[_Values], after: _Calls, *, sized: bool) -> _Held:
    held = [result.get(output, _Held(UNKNOWN)) for result in results]
    values = [each.value for each in held] if sized else UNKNOWN
    return _Held(values, after.union(*(each.calls for each in held)) if held else after)


def _known(value: Any) -> Any:
    """Return a value with files, whose properties only a run shows, as UNKNOWN."""
    if isinstance(value, Mapping):
        if value.get("class") in {"File", "Directory"}:
            return UNKNOWN
        return {key: _known(each) for key, each in value.items()}
    return [_known(each) for each in value] if isinstance(value, list) else value


def _evaluated(value: Any, names: Mapping[str, Any]) -> Any:
    """Return the value of a string that may have expressions."""
    if not isinstance(value, str) or ("$(" not in value and "${" not in value):
        return value
    whole = _REFERENCE.fullmatch(value.strip())
    if whole:
        return _expression(whole[1], names)
    parts = [_expression(found[1], names) for found in _REFERENCE.finditer(value)]
    if "${" in value or any(part is UNKNOWN for part in parts):
        return UNKNOWN
    results = iter(parts)
    return _REFERENCE.sub(lambda _: f"{next(results)}", value)


def _expression(text: str, names: Mapping[str, Any]) -> Any:
    # Groovy's operators have the meaning of JavaScript's for what is read here.
    try:
        return evaluate(parse("expression", text), names)
    except DefinitionError:
        return UNKNOWN
