"""Open Job Description templates: what job, steps and tasks they make.

The library of the specification's own authors reads them (https://github.com/OpenJobDescription):
parameter spaces, chunks and dependencies are its business, and so is what is wrong with a template.
It is loaded by the first job that is made, not at the start.
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
"""Of the specification; a template that names another one is refused."""

_TASKS_PER_CHUNK = 150
"""https://docs.aws.amazon.com/general/latest/gr/deadlinecloud.html; this one cannot be raised."""
_MAX_TASKS = 1_000_000
"""Of one step: a slip of the pen must not take all of this machine's memory."""

_UNIONS = {
    "INT": "int",
    "FLOAT": "float",
    "STRING": "string",
    "PATH": "path",
    "CHUNK[INT]": "chunkInt",
}
"""The members of AWS's unions by the specification's types."""

_Members = dict[str, Any]


class TemplateError(ValueError):
    """The template, or a parameter for it, is wrong; the message says what."""


@dataclass(frozen=True, slots=True)
class ExpandedStep:
    """A step of a job."""

    name: str
    members: _Members
    """Of GetStep's answer: what the template says beside the name."""
    needs: tuple[str, ...]
    """The names of the steps that it depends on."""
    count: int
    """Of its tasks."""
    tasks: Iterator[_Members]
    """The parameters of each task, in AWS's form; made one by one, once."""


@dataclass(frozen=True, slots=True)
class ExpandedJob:
    """A job, complete."""

    name: str
    description: str | None
    parameters: _Members
    steps: list[ExpandedStep]


def expand(template: str, template_type: str, parameters: Mapping[str, Any]) -> ExpandedJob:
    """Make a job out of a template.

    Args:
        template: the text.
        template_type: `JSON` or `YAML`.
        parameters: the job's, each as AWS's union of one member.

    Raises:
        TemplateError: it cannot be made.
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
    except ValueError as error:  # the library's own errors are of this kind, too
        raise TemplateError(str(error)) from error


def _step(step: Step) -> ExpandedStep:
    from openjd.model import StepParameterSpaceIterator  # noqa: PLC0415 see above

    _reject_long_chunks(step)
    space = StepParameterSpaceIterator(space=step.parameterSpace)
    if len(space) > _MAX_TASKS:
        raise TemplateError(f"step {step.name} has {len(space)} tasks, and there is no more room")
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
