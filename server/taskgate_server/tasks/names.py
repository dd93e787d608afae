"""Task names: one string for each task, such as `omics/runs/1234567/tasks/7654321`.

A template holds AWS's own parameter names, so parsing a name gives the parameters of the AWS
operation, checked against its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from taskgate_server import errors
from taskgate_server.aws import constraints, model


@dataclass(frozen=True)
class NameTemplate:
    """The form of one AWS service's task names."""

    text: str
    """Such as `omics/runs/{id}/tasks/{taskId}`: literal segments and AWS parameters."""

    service: str
    operation: str
    """The AWS operation whose model says what an id looks like."""

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

    def parse(self, name: str, field: str) -> dict[str, str]:
        """The AWS parameters in a task name.

        Args:
            name: as the caller gave it.
            field: the request's field that the name came in.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT that shows the form a name must have.
        """
        given = name.split("/")
        literal_matches = [
            want.startswith("{") or want == have
            for want, have in zip(self._segments, given, strict=False)
        ]
        if len(given) != len(self._segments) or not all(literal_matches):
            raise errors.invalid_request({field: f"must have the form {self.text}"})
        values = {
            want[1:-1]: have
            for want, have in zip(self._segments, given, strict=True)
            if want.startswith("{")
        }
        faults = [
            f"{{{parameter}}} {fault}"
            for parameter, check in self._checks.items()
            if (fault := check(values[parameter]))
        ]
        if faults:
            raise errors.invalid_request({field: f"{'; '.join(faults)}, in {self.text}"})
        return values

    def format(self, values: Mapping[str, str]) -> str:
        """The name of the task with these AWS parameters."""
        return self.text.format_map(values)
