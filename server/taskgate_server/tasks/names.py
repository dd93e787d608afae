"""Names of tasks, such as `omics/runs/1234567/tasks/7654321`, and of their parents.

Their forms consist of AWS's own parameter names: parsing a name returns the parameters of the AWS
operation, checked against AWS's model.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import regex

from taskgate_server import errors
from taskgate_server.aws import constraints, model
from taskgate_server.services.spec import ServiceSpec

MAX_NAME_CHARACTERS: Final = 512
"""The limit for names of tasks and parents. Names of real tasks have up to 250 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A resource that contains tasks: a step, a job, a queue or a run."""

    kind: str
    """The key of its form in `ServiceSpec.parent_names`: `jobs`, `runs`."""
    name: str
    """Such as `omics/runs/1234567`."""
    params: Mapping[str, str]
    """The AWS parameters in the name."""


@dataclass(frozen=True, slots=True)
class NameForm:
    """One form of names: literal segments and AWS parameters, `omics/runs/{id}`."""

    text: str
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, text: str) -> NameForm:
        """Return the form in a text of `ServiceSpec`."""
        return cls(text, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]*)", re.escape(text))))

    @property
    def parameters(self) -> list[str]:
        """The AWS parameters, in order."""
        return list(self.pattern.groupindex)

    def match(self, name: str) -> dict[str, str] | None:
        """Return the parameters in a name; None if it does not have this form."""
        found = self.pattern.fullmatch(name)
        return None if found is None else found.groupdict()


class NameTemplate:
    """The forms of the names of an AWS service.

    Args:
        spec: of the service.
        operation: the AWS operation that reads one task. Its model defines the form of ids.
    """

    def __init__(self, spec: ServiceSpec, operation: str) -> None:
        self.service, self.operation = spec.name, operation
        self._id_patterns = spec.id_patterns
        self._tasks = [NameForm.of(text) for text in spec.task_names]
        self._parents = {kind: NameForm.of(text) for kind, text in spec.parent_names.items()}
        self.text = " or ".join(spec.task_names)
        """The forms of task names, for errors and documentation."""
        self.parent_forms: Mapping[str, str] = spec.parent_names
        """The forms of the names of parents, by kind: `{"runs": "omics/runs/{id}"}`."""

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The AWS parameters in names of tasks and parents."""
        forms = (*self._tasks, *self._parents.values())
        return frozenset(each for form in forms for each in form.parameters)

    @cached_property
    def _checks(self) -> Mapping[str, constraints.Check]:
        shape = model.load_service(self.service).operation_model(self.operation).input_shape
        members = shape.members if shape else {}
        checks = {
            name: check
            for name in self.parameters & members.keys()
            if (check := constraints.compile_check(members[name])) is not None
        }
        return checks | {name: _check(text) for name, text in self._id_patterns.items()}

    def parse(self, name: str, field: str) -> dict[str, str]:
        """Return the AWS parameters in the name of a task.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT with the required form.
        """
        check_length(name, field)
        for form in self._tasks:
            values = form.match(name)
            if values is not None:
                self._check(values, field, form)
                return values
        raise errors.invalid_request({field: f"must have the form {self.text}"})

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
            kind: form for kind, form in self._parents.items() if kinds is None or kind in kinds
        }
        for kind, form in forms.items():
            values = form.match(name)
            if values is not None:
                self._check(values, field, form)
                return Parent(kind=kind, name=name, params=values)
        texts = " or ".join(form.text for form in forms.values())
        raise errors.invalid_request({field: f"must have the form {texts}"})

    def is_task(self, name: str) -> bool:
        """Return whether a name has a form of task names; its ids are not checked."""
        return any(form.match(name) is not None for form in self._tasks)

    def parents_of(self, name: str) -> dict[str, str]:
        """Return the names of the parents of a task or a parent by kind, itself included."""
        forms = (*self._tasks, *self._parents.values())
        values = next((found for form in forms if (found := form.match(name)) is not None), {})
        return {
            kind: form.text.format_map(values)
            for kind, form in self._parents.items()
            if values.keys() >= set(form.parameters)
        }

    def _check(self, values: Mapping[str, str], field: str, form: NameForm) -> None:
        faults = [
            f"{{{parameter}}} {fault}"
            for parameter, value in values.items()
            if parameter in self._checks and (fault := self._checks[parameter](value))
        ]
        if faults:
            raise errors.invalid_request({field: f"{'; '.join(faults)}, in {form.text}"})

    def fill(self, values: Mapping[str, Any], kinds: Iterable[str] = ()) -> str | None:
        """Return the name of the task, or else of the parent, that these values identify.

        Args:
            values: AWS parameters; others are ignored.
            kinds: of parents, the preferred ones first.

        Returns:
            None if the values are incomplete or invalid.
        """
        forms = [*reversed(self._tasks), *(self._parents[kind] for kind in kinds)]
        for form in forms:
            try:
                name = form.text.format_map(values)
                found = form.match(name)
                if found is not None:
                    self._check(found, "", form)
                    return name
            except (LookupError, errors.TaskgateError):
                continue
        return None

    def format(self, values: Mapping[str, Any]) -> str:
        """Return the name of the task with these AWS parameters.

        Raises:
            KeyError: parameters are missing.
        """
        for form in reversed(self._tasks):
            if all(values.get(each) for each in form.parameters):
                return form.text.format_map(values)
        raise KeyError(self.text)


def _check(pattern: str) -> constraints.Check:
    compiled = regex.compile(pattern)
    fault = f"must match {pattern}"
    return lambda value: None if compiled.fullmatch(value) else fault


def container_of(name: str) -> str:
    """Return a name without its last collection and id: of the step or run that has a task."""
    return name.rsplit("/", 2)[0]


def check_length(name: str, field: str) -> None:
    """Refuse a name that is too long, before parsing it.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT.
    """
    if len(name) > MAX_NAME_CHARACTERS:
        fault = f"has {len(name)} characters, must have at most {MAX_NAME_CHARACTERS}"
        raise errors.invalid_request({field: fault})
