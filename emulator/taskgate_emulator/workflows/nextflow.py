"""Nextflow definitions, simplified: each process is one task, in sequence.

Nextflow is Groovy, so only running a script shows what it does. The order is: the processes of the
main file, then those of the other `.nf` files by path. Each is called once, after the previous one.
The directives `cpus`, `memory`, `accelerator` and `container` are read if their values are
literals.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from taskgate_emulator.workflows.definition import Definition, DefinitionError, PlannedCall

__all__ = ["plan", "template"]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_PROCESS = re.compile(r"^[ \t]*process\s+(?P<name>\w+)\s*\{", re.MULTILINE)
_SCRIPT = re.compile(r"^\s*(?:script|shell|exec|stub)\s*:", re.MULTILINE)
_UNITS = {"KB": 2**-20, "MB": 2**-10, "GB": 1.0, "TB": 2.0**10}
_PARAMETER = re.compile(r"^\s*params\.(?P<name>\w+)\s*=", re.MULTILINE)


def plan(definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]:
    """Return the calls of a run, as the module describes.

    Raises:
        DefinitionError: there is no process.
    """
    inputs = json.dumps(parameters, sort_keys=True, default=str)
    calls: list[PlannedCall] = []
    for name, body in _processes(definition):
        after = (len(calls) - 1,) if calls else ()
        calls.append(
            PlannedCall(
                name=name,
                cpus=int(_directive(body, "cpus", r"(\d+)") or 1),
                memory=_memory(body),
                gpus=int(_directive(body, "accelerator", r"(\d+)") or 0),
                image=_directive(body, "container", r"['\"]([^'\"$]+)['\"]"),
                after=after,
                content=body + inputs,
            )
        )
    return calls


def template(definition: Definition) -> dict[str, Any]:
    """Return the parameters that the main file sets; all are optional."""
    names = _PARAMETER.findall(_COMMENT.sub("", definition.text))
    return {name: {"optional": True} for name in names}


def _processes(definition: Definition) -> list[tuple[str, str]]:
    others = sorted(path for path in definition.files if path.endswith(".nf"))
    paths = [definition.main, *(path for path in others if path != definition.main)]
    found = [each for path in paths for each in _blocks(definition.files[path])]
    if not found:
        raise DefinitionError("The definition has no process")
    return found


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names and bodies of the processes of a file."""
    bare = _COMMENT.sub("", text)
    for found in _PROCESS.finditer(bare):
        depth, end = 1, found.end()
        while end < len(bare) and depth:
            depth += {"{": 1, "}": -1}.get(bare[end], 0)
            end += 1
        yield found["name"], bare[found.end() : end - 1]


def _directive(body: str, name: str, value: str) -> str | None:
    # Directives precede the script, which may contain the same words.
    script = _SCRIPT.search(body)
    head = body[: script.start()] if script else body
    found = re.search(rf"^\s*{name}\s*[ (=]\s*{value}", head, re.MULTILINE)
    return found[1] if found else None


def _memory(body: str) -> int:
    text = _directive(body, "memory", r"['\"]?(\d+(?:\.\d+)?[ .]?[KMGT]B)")
    if text is None:
        return 1
    number, unit = text[:-2].rstrip(" ."), text[-2:]
    return max(1, math.ceil(float(number) * _UNITS[unit]))
