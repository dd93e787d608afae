"""Expands Open Job Description templates to jobs, steps and tasks.

The library of the specification's authors (https://github.com/OpenJobDescription) reads them: it
expands parameter spaces, chunks and dependencies, and validates the template. The first job that is
created loads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openjd.model import EnvironmentTemplate, JobTemplate, Step, StepParameterSpace

__all__ = [
    "Document",
    "ExpandedJob",
    "ExpandedStep",
    "TemplateError",
    "environment_name",
    "expand",
]

_TASKS_PER_CHUNK = 150
"""https://docs.aws.amazon.com/general/latest/gr/deadlinecloud.html; it is not adjustable."""
_MAX_TASKS = 1_000_000
"""Per step, so that a mistake in a template does not exhaust memory."""

_UNIONS = {
    "INT": "int",
    "FLOAT": "float",
    "STRING": "string",
    "PATH": "path",
    "CHUNK[INT]": "chunkInt",
    "BOOL": "bool",
    "RANGE_EXPR": "rangeExpr",
    "LIST[STRING]": "stringList",
    "LIST[PATH]": "pathList",
    "LIST[INT]": "intList",
    "LIST[FLOAT]": "floatList",
    "LIST[BOOL]": "boolList",
    "LIST[LIST[INT]]": "intListList",
}
"""The members of AWS's unions, by the specification's types."""
_ITEMS: Mapping[str, Callable[[str], Any]] = {
    "intList": int,
    "floatList": float,
    "intListList": int,
}
"""How the library expects the items of a list, which AWS's unions have as text."""

_Members = dict[str, Any]


class TemplateError(ValueError):
    """The template or one of its parameters is invalid; the message says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a template and its type, `JSON` or `YAML`."""

    text: str
    type: str


@dataclass(frozen=True, slots=True)
class ExpandedStep:
    """A step of a job."""

    name: str
    members: _Members
    """Members of GetStep's response that come from the template, except the name."""
    needs: tuple[str, ...]
    """The names of the steps that it depends on."""
    count: int
    """The number of its tasks."""
    tasks: Iterator[_Members]
    """The parameters of each task in AWS's form; a generator, to be consumed once."""


@dataclass(frozen=True, slots=True)
class ExpandedJob:
    """A job with all its steps."""

    name: str
    description: str | None
    parameters: _Members
    steps: list[ExpandedStep]


def expand(
    template: Document, parameters: Mapping[str, Any], environments: Sequence[Document] = ()
) -> ExpandedJob:
    """Expand a template.

    Args:
        template: of the job.
        parameters: of the job, each as AWS's union of one member.
        environments: the templates of the queue's environments, the outermost first. They may
            define further parameters.

    Raises:
        Exception: the template or a parameter is invalid, or a definition of a parameter conflicts
            with another; see `core/reading.py`.
    """
    from openjd import model  # noqa: PLC0415 loaded only when it is needed

    decoded = _job_template(template)
    outer = [_environment_template(each) for each in environments]
    values = model.preprocess_job_parameters(
        job_template=decoded,
        job_parameter_values={name: _native(union) for name, union in parameters.items()},
        job_template_dir=Path("/"),
        current_working_dir=Path("/"),
        allow_job_template_dir_walk_up=True,
        environment_templates=outer,
    )
    for name, value in values.items():
        _check_kind(name, value, parameters.get(name))
        _check_range(name, value)
    job = model.create_job(
        job_template=decoded, job_parameter_values=values, environment_templates=outer
    )
    return ExpandedJob(
        name=job.name,
        description=job.description,
        parameters={name: _union(value) for name, value in values.items()},
        steps=[_step(step) for step in job.steps],
    )


def environment_name(template: Document) -> str:
    """Return the name of an environment template.

    Raises:
        Exception: the template is invalid; see `core/reading.py`.
    """
    return _environment_template(template).environment.name


def _job_template(template: Document) -> JobTemplate:
    from openjd import model  # noqa: PLC0415 see above

    return model.decode_job_template(template=_parsed(template), supported_extensions=_extensions())


def _environment_template(template: Document) -> EnvironmentTemplate:
    from openjd import model  # noqa: PLC0415 see above

    return model.decode_environment_template(
        template=_parsed(template), supported_extensions=_extensions()
    )


def _parsed(template: Document) -> dict[str, Any]:
    from openjd import model  # noqa: PLC0415 see above

    return model.document_string_to_object(
        document=template.text, document_type=model.DocumentType(template.type)
    )


def _extensions() -> list[str]:
    """Return every extension of the specification that the library supports."""
    from openjd.model.v2023_09 import ExtensionName  # noqa: PLC0415 see above

    return [extension.value for extension in ExtensionName]


def _native(union: Mapping[str, Any]) -> Any:
    """Return the value of a union as the library expects it."""
    ((kind, value),) = union.items()
    convert = _ITEMS.get(kind)
    return value if convert is None else _converted(value, convert)


def _converted(value: Any, convert: Callable[[str], Any]) -> Any:
    return (
        [_converted(each, convert) for each in value] if isinstance(value, list) else convert(value)
    )


def _check_kind(name: str, value: Any, given: Mapping[str, Any] | None) -> None:
    """Check that a list is the value of a parameter of its type; a text may be of any type."""
    for kind, inner in (given or {}).items():
        if isinstance(inner, list) and kind != _UNIONS[value.type.value]:
            raise TemplateError(f"Parameter {name} is of type {value.type.value}, not {kind}")


def _check_range(name: str, value: Any) -> None:
    """Check that a number has the size that the specification's implementations support.

    https://docs.rs/openjd-model/0.2.1/openjd_model/template/ has i64 and finite f64; the Python
    library has numbers of any size.
    """
    for each in value.value if isinstance(value.value, list) else [value.value]:
        if value.type.value in {"INT", "LIST[INT]"} and not -(2**63) <= int(each) < 2**63:
            raise TemplateError(f"Parameter {name} must be an integer of 64 bits")
        if value.type.value in {"FLOAT", "LIST[FLOAT]"} and not math.isfinite(float(each)):
            raise TemplateError(f"Parameter {name} must be a finite number")


def _step(step: Step) -> ExpandedStep:
    from openjd.model import StepParameterSpaceIterator  # noqa: PLC0415 see above

    # With a target runtime, AWS adapts the size of chunks to the runtime of earlier tasks. The
    # emulator's tasks all have the default size, so that their number is known at the start.
    space = StepParameterSpaceIterator(
        space=step.parameterSpace, chunks_task_count_override=_tasks_per_chunk(step)
    )
    if len(space) > _MAX_TASKS:
        raise TemplateError(f"step {step.name} has {len(space)} tasks; the maximum is {_MAX_TASKS}")
    members = {
        "description": step.description,
        "requiredCapabilities": _capabilities(step),
        "parameterSpace": _space(step.parameterSpace),
    }
    return ExpandedStep(
        name=step.name,
        members={name: value for name, value in members.items() if value is not None},
        needs=tuple(each.dependsOn for each in step.dependencies or ()),
        count=len(space),
        tasks=({name: _union(value) for name, value in values.items()} for values in space),
    )


def _tasks_per_chunk(step: Step) -> int | None:
    """Return the default size of the step's chunks, if it has chunks.

    Raises:
        TemplateError: a chunk or the whole range is too long.
    """
    definitions = step.parameterSpace.taskParameterDefinitions if step.parameterSpace else {}
    for name, definition in definitions.items():
        chunks = getattr(definition, "chunks", None)
        if chunks is None:
            continue
        if int(chunks.defaultTaskCount) > _TASKS_PER_CHUNK:
            raise TemplateError(f"{step.name}: {name}: a chunk may have {_TASKS_PER_CHUNK} tasks")
        if len(definition.range) > _MAX_TASKS:  # the library makes a list of it
            raise TemplateError(f"{step.name}: {name}: the range has more than {_MAX_TASKS} values")
        return int(chunks.defaultTaskCount)
    return None


def _union(value: Any) -> dict[str, Any]:
    return {_UNIONS[value.type.value]: _text(value.value)}


def _text(value: Any) -> Any:
    """Return a value in AWS's form: text, or lists of text."""
    if isinstance(value, list):
        return [_text(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _capabilities(step: Step) -> _Members | None:
    required = step.hostRequirements
    if required is None:
        return None
    return {
        "attributes": [
            _present(name=each.name, anyOf=each.anyOf, allOf=each.allOf)
            for each in required.attributes or ()
        ],
        "amounts": [
            _present(name=each.name, min=_float(each.min), max=_float(each.max))
            for each in required.amounts or ()
        ],
    }


def _space(space: StepParameterSpace | None) -> _Members | None:
    if space is None:
        return None
    parameters = [
        _present(
            name=name,
            type=each.type.value.replace("CHUNK[INT]", "CHUNK_INT"),
            chunks=_chunks(each),
        )
        for name, each in space.taskParameterDefinitions.items()
    ]
    return _present(parameters=parameters, combination=space.combination)


def _chunks(parameter: Any) -> _Members | None:
    chunks = parameter.chunks
    if chunks is None:
        return None
    return _present(
        defaultTaskCount=int(chunks.defaultTaskCount),
        targetRuntimeSeconds=chunks.targetRuntimeSeconds and int(chunks.targetRuntimeSeconds),
        rangeConstraint=chunks.rangeConstraint.value,
    )


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _present(**members: Any) -> _Members:
    return {name: value for name, value in members.items() if value is not None}
