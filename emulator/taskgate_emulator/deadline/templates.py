"""Expands Open Job Description templates to jobs, steps and tasks.

The library of the specification's authors (https://github.com/OpenJobDescription) reads them: it
expands parameter spaces, chunks and dependencies, and validates the template. The first job that is
created loads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openjd.model import Step, StepParameterSpace

__all__ = ["ExpandedJob", "ExpandedStep", "TemplateError", "expand"]

_EXTENSIONS = ("TASK_CHUNKING", "REDACTED_ENV_VARS", "FEATURE_BUNDLE_1")
"""Extensions of the specification; a template with another one is rejected."""

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
}
"""The members of AWS's unions, by the specification's types."""

_Members = dict[str, Any]


class TemplateError(ValueError):
    """The template or one of its parameters is invalid; the message says why."""


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


def expand(template: str, template_type: str, parameters: Mapping[str, Any]) -> ExpandedJob:
    """Expand a template.

    Args:
        template: its text.
        template_type: `JSON` or `YAML`.
        parameters: of the job, each as AWS's union of one member.

    Raises:
        TemplateError: the template or a parameter is invalid.
    """
    from openjd import model  # noqa: PLC0415 loaded only when it is needed

    given = {name: str(next(iter(union.values()))) for name, union in parameters.items()}
    here = Path("/")
    try:
        document = model.document_string_to_object(
            document=template, document_type=model.DocumentType(template_type)
        )
        decoded = model.decode_job_template(template=document, supported_extensions=_EXTENSIONS)
        values = model.preprocess_job_parameters(
            job_template=decoded,
            job_parameter_values=given,
            job_template_dir=here,
            current_working_dir=here,
            allow_job_template_dir_walk_up=True,
        )
        job = model.create_job(job_template=decoded, job_parameter_values=values)
        return ExpandedJob(
            name=job.name,
            description=job.description,
            parameters={name: _union(value) for name, value in values.items()},
            steps=[_step(step) for step in job.steps],
        )
    except ValueError as error:  # also the base class of the library's errors
        raise TemplateError(str(error)) from error


def _step(step: Step) -> ExpandedStep:
    from openjd.model import StepParameterSpaceIterator  # noqa: PLC0415 see above

    _reject_long_chunks(step)
    space = StepParameterSpaceIterator(space=step.parameterSpace)
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


def _reject_long_chunks(step: Step) -> None:
    definitions = step.parameterSpace.taskParameterDefinitions if step.parameterSpace else {}
    for name, definition in definitions.items():
        chunks = getattr(definition, "chunks", None)
        if chunks is not None and chunks.defaultTaskCount > _TASKS_PER_CHUNK:
            raise TemplateError(f"{step.name}: {name}: a chunk may have {_TASKS_PER_CHUNK} tasks")


def _union(value: Any) -> dict[str, str]:
    return {_UNIONS[value.type.value]: str(value.value)}


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
