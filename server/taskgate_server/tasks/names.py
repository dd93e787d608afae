"""Names of tasks, such as `omics/runs/1234567/tasks/7654321`, and of their parents.

A template consists of AWS's own parameter names: parsing a name returns the parameters of the AWS
operation, checked against AWS's model.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from taskgate_server import errors
from taskgate_server.aws import constraints, model

MAX_NAME_CHARACTERS: Final = 512
"""The limit for names of tasks and parents. Names of real tasks have up to 250 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A resource that contains tasks: a step, a job, a queue or a run."""

    kind: str
    """The collection that contains it: `jobs`, `runs`."""
    name: str
    """Such as `omics/runs/1234567`."""
    params: Mapping[str, str]
    """The AWS parameters in the name."""


@dataclass(frozen=True)
class NameTemplate:
    """The form of the task names of one AWS service."""

    text: str
    """Literal segments and AWS parameters, such as `omics/runs/{id}/tasks/{taskId}`."""

    service: str
    operation: str
    """The AWS operation that reads one task. Its model defines the form of ids."""

    parent_kinds: tuple[str, ...]
    """The collections in the text whose members contain tasks that can be listed: `jobs`."""

    @cached_property
    def _segments(self) -> list[str]:
        return self.text.split("/")

    @cached_property
    def _checks(self) -> dict[str, constraints.Check]:
        shape = model.load_service(self.service).operation_model(self.operation).input_shape
        members = shape.members if shape else {}
        checks = {name: constraints.compile_check(members[name]) for name in self.parameters}
        return {name: check for name, check in checks.items() if check is not None}

    @cached_property
    def parameters(self) -> list[str]:
        """The AWS parameters in the template, in order."""
        return [segment[1:-1] for segment in self._segments if segment.startswith("{")]

    @cached_property
    def parent_forms(self) -> dict[str, str]:
        """The forms of the names of parents, by kind: `{"runs": "omics/runs/{id}"}`."""
        ends = {kind: self._segments.index(kind) + 2 for kind in self.parent_kinds}
        return {kind: "/".join(self._segments[:end]) for kind, end in ends.items()}

    def parse(self, name: str, field: str) -> dict[str, str]:
        """Return the AWS parameters in the name of a task.

        Args:
            name: as the caller sent it.
            field: the field of the request that contains the name.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with the required form.
        """
        check_length(name, field)
        values = _match(self._segments, name)
        if values is None:
            raise errors.invalid_request({field: f"must have the form {self.text}"})
        self._check(values, field, self.text)
        return values

    def parse_parent(self, name: str, field: str, kinds: Container[str] | None = None) -> Parent:
        """Return the parent with this name.

        Args:
            name: as the caller sent it.
            field: the field of the request that contains the name.
            kinds: the accepted kinds; all if None.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with the possible forms.
        """
        check_length(name, field)
        forms = {
            kind: form for kind, form in self.parent_forms.items() if kinds is None or kind in kinds
        }
        for kind, form in forms.items():
            values = _match(form.split("/"), name)
            if values is not None:
                self._check(values, field, form)
                return Parent(kind=kind, name=name, params=values)
        raise errors.invalid_request({field: f"must have the form {' or '.join(forms.values())}"})

    def parent_of(self, name: str, kind: str) -> str:
        """Return the name of a task's parent of that kind.

        Args:
            name: of the task, well-formed.
            kind: of the parent.
        """
        return "/".join(name.split("/")[: self._segments.index(kind) + 2])

    def _check(self, values: Mapping[str, str], field: str, form: str) -> None:
        faults = [
            f"{{{parameter}}} {fault}"
            for parameter, check in self._checks.items()
            if parameter in values and (fault := check(values[parameter]))
        ]
        if faults:
            raise errors.invalid_request({field: f"{'; '.join(faults)}, in {form}"})

    def fill(self, form: str, values: Mapping[str, Any]) -> str | None:
        """Return a name with these values; None if they are incomplete or invalid.

        Args:
            form: `text` or one of `parent_forms`.
            values: AWS parameters; others are ignored.
        """
        try:
            name = form.format_map(values)
            if form == self.text:
                self.parse(name, "")
            else:
                self.parse_parent(name, "")
        except (LookupError, errors.TaskgateError):
            return None
        return name

    def format(self, values: Mapping[str, str]) -> str:
        """Return the name of the task with these AWS parameters."""
        return self.text.format_map(values)


def check_length(name: str, field: str) -> None:
    """Refuse a name that is too long, before parsing it.

    Args:
        name: as the caller sent it.
        field: the field of the request that contains the name.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT.
    """
    if len(name) > MAX_NAME_CHARACTERS:
        fault = f"has {len(name)} characters, must have at most {MAX_NAME_CHARACTERS}"
        raise errors.invalid_request({field: fault})


def _match(segments: Sequence[str], name: str) -> dict[str, str] | None:
    """Return the parameters in a name; None if it does not have this form."""
    values = name.split("/")
    if len(values) != len(segments):
        return None
    pairs = list(zip(segments, values, strict=True))
    if any(segment != value for segment, value in pairs if not segment.startswith("{")):
        return None
    return {segment[1:-1]: value for segment, value in pairs if segment.startswith("{")}
