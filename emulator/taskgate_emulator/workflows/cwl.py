"""CWL definitions, simplified: each step of the workflow is a task.

A step follows the steps that its `in` refers to. A step that scatters over an input of the workflow
is one task per element of that input; any other scatter is one task. The tool of a step is another
file, an id in the same `$graph`, or inline; its `ResourceRequirement` (coresMin, ramMin),
`cwltool:CUDARequirement` and `DockerRequirement` are read from requirements and hints. A step that
runs a workflow is one task.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from taskgate_emulator.workflows.definition import Definition, DefinitionError, PlannedCall

__all__ = ["plan", "template"]

_MEBIBYTES = 1_024
_Node = Mapping[str, Any]


def plan(definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]:
    """Return the calls of a run, as the module describes.

    Raises:
        DefinitionError: the main file has no workflow, or a tool is missing, or steps are cyclic.
    """
    document = _parse(definition, definition.main)
    steps = dict(_entries(_main(document).get("steps")))
    positions: dict[str, list[int]] = {}
    calls: list[PlannedCall] = []
    while len(positions) < len(steps):
        ready = [
            name
            for name, step in steps.items()
            if name not in positions and _sources(step, steps) <= positions.keys()
        ]
        if not ready:
            raise DefinitionError("The steps of the workflow have a circular dependency")
        for name in ready:
            after = sorted(
                each for other in _sources(steps[name], steps) for each in positions[other]
            )
            tool = _tool(definition, document, steps[name])
            made = [
                _call(each, tool, tuple(after), parameters)
                for each in _names(name, steps[name], parameters)
            ]
            positions[name] = list(range(len(calls), len(calls) + len(made)))
            calls += made
    return calls


def template(definition: Definition) -> dict[str, Any]:
    """Return the inputs of the workflow."""
    inputs = _entries(_main(_parse(definition, definition.main)).get("inputs"))
    return {name: _described(each) for name, each in inputs}


def _described(node: Any) -> dict[str, Any]:
    known = node if isinstance(node, Mapping) else {"type": node}
    kind = known.get("type")
    optional = "default" in known or (
        "null" in kind if isinstance(kind, list) else str(kind).endswith("?")
    )
    doc = known.get("doc")
    return {"optional": optional, **({"description": doc} if isinstance(doc, str) and doc else {})}


def _parse(definition: Definition, path: str) -> _Node:
    try:
        document = yaml.safe_load(definition.files[path])
    except KeyError as error:
        raise DefinitionError(f"The definition has no file {path}") from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"{path} is not YAML") from error
    if not isinstance(document, Mapping):
        raise DefinitionError(f"{path} is not CWL")
    return document


def _main(document: _Node) -> _Node:
    graph = document.get("$graph")
    candidates = graph if isinstance(graph, list) else [document]
    workflows = [each for each in candidates if each.get("class") == "Workflow"]
    named = [each for each in workflows if _bare(each.get("id", "")) == "main"]
    for found in (named, workflows):
        if found:
            return dict(found[0])
    raise DefinitionError("The main file has no Workflow")


def _entries(nodes: Any) -> Iterator[tuple[str, Any]]:
    """Yield the ids and nodes of a map by id, or of a list of nodes with ids."""
    if isinstance(nodes, Mapping):
        for name, node in nodes.items():
            yield str(name), node
    for node in nodes if isinstance(nodes, list) else ():
        yield _bare(node["id"]), node


def _bare(name: str) -> str:
    return name.rpartition("#")[2]


def _sources(step: _Node, steps: _Node) -> set[str]:
    """Return the steps that a step depends on."""
    found = set()
    for _, node in _entries(step.get("in")):
        source = node.get("source") if isinstance(node, Mapping) else node
        for each in source if isinstance(source, list) else [source]:
            name, _, output = _bare(str(each)).rpartition("/")
            name = name.rpartition("/")[2]
            if output and name in steps:
                found.add(name)
    return found


def _names(name: str, step: _Node, parameters: _Node) -> list[str]:
    scatter = step.get("scatter")
    over = scatter[0] if isinstance(scatter, list) and scatter else scatter
    if not isinstance(over, str):
        return [name]
    inputs = dict(_entries(step.get("in")))
    node = inputs.get(_bare(over).rpartition("/")[2])
    source = node.get("source") if isinstance(node, Mapping) else node
    elements = parameters.get(_bare(str(source)).rpartition("/")[2])
    if not isinstance(elements, list):
        return [name]
    # As in the engine, the first of the calls with one name has no number.
    return [f"{name}_{number}" if number > 1 else name for number in range(1, len(elements) + 1)]


def _tool(definition: Definition, document: _Node, step: _Node) -> _Node:
    run = step.get("run")
    if isinstance(run, Mapping):
        return run
    if not isinstance(run, str):
        raise DefinitionError("A step of the workflow has no run")
    path, _, name = run.partition("#")
    if path:
        return _parse(definition, str(PurePosixPath(definition.main).parent / path))
    for node in document.get("$graph", ()):
        if _bare(node.get("id", "")) == name:
            return dict(node)
    raise DefinitionError(f"The definition has no {run}")


def _call(
    name: str, tool: _Node, after: tuple[int, ...], parameters: Mapping[str, Any]
) -> PlannedCall:
    resources = _requirement(tool, "ResourceRequirement")
    cuda = _requirement(tool, "cwltool:CUDARequirement")
    image = _requirement(tool, "DockerRequirement").get("dockerPull")
    return PlannedCall(
        name=name,
        cpus=max(1, math.ceil(_number(resources.get("coresMin"), 1))),
        memory=max(1, math.ceil(_number(resources.get("ramMin"), _MEBIBYTES) / _MEBIBYTES)),
        gpus=int(_number(cuda.get("cudaDeviceCountMin"), 1)) if cuda else 0,
        image=image if isinstance(image, str) else None,
        after=after,
        content=json.dumps([tool, parameters], sort_keys=True, default=str),
    )


def _requirement(tool: _Node, name: str) -> _Node:
    for section in ("requirements", "hints"):
        nodes = tool.get(section)
        if isinstance(nodes, list):
            nodes = {each.get("class"): each for each in nodes}
        found = nodes.get(name) if isinstance(nodes, Mapping) else None
        if isinstance(found, Mapping):
            return found
    return {}


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, (int, float)) else default  # a string is an expression
