"""The three languages of workflows, behind two functions.

Their readers are loaded at their first use: a start of the emulator needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from taskgate_emulator.workflows.definition import Definition, PlannedCall

__all__ = ["plan_calls", "template_of"]


class _Reader(Protocol):
    def plan(self, definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]: ...

    def template(self, definition: Definition) -> dict[str, Any]: ...


def plan_calls(definition: Definition, parameters: Mapping[str, Any]) -> list[PlannedCall]:
    """The calls that a run makes, each after those that it needs.

    Args:
        definition: of the workflow.
        parameters: of the run.

    Raises:
        DefinitionError: the definition or the parameters do not allow a run.
    """
    return _reader(definition.engine).plan(definition, parameters)


def template_of(definition: Definition) -> dict[str, Any]:
    """The parameter template that a definition gives by itself.

    Raises:
        DefinitionError: the definition cannot be read.
    """
    return _reader(definition.engine).template(definition)


def _reader(engine: str) -> _Reader:
    return cast(_Reader, import_module(f"taskgate_emulator.workflows.{_READERS[engine]}"))


_READERS = {
    "CWL": "cwl",
    "NEXTFLOW": "nextflow",
    "WDL": "wdl",
    "WDL_LENIENT": "wdl",
}
