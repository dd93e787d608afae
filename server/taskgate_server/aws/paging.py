"""AWS's lists, page by page: how an operation pages comes from botocore's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskgate_server import errors
from taskgate_server.aws import constraints, model


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A page of an AWS list."""

    rows: Sequence[Mapping[str, Any]]
    next_token: str
    """Empty after the last page."""
    response: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """The names of what pages are made with; botocore has them of most operations."""

    token: str
    next_token: str
    size: str
    rows: str


class PagedOperation:
    """One AWS operation that lists.

    Args:
        service: botocore's name of the AWS service.
        operation: AWS's name, such as `ListTasks`.
        paging: how it pages; None asks botocore.
    """

    def __init__(self, service: str, operation: str, paging: Paging | None = None) -> None:
        found = model.load_service(service).operation_model(operation)
        if found.input_shape is None or found.output_shape is None:
            raise ValueError(f"{operation} does not list")
        self.operation = operation
        self.paging = paging or _modelled_paging(service, operation)
        self.inputs: Mapping[str, Any] = found.input_shape.members
        outputs: Mapping[str, Any] = found.output_shape.members
        self.max_size: int = self.inputs[self.paging.size].metadata["max"]
        self.members = frozenset(outputs[self.paging.rows].member.members)
        """Those of a row."""
        self._outputs = outputs
        token = self.inputs[self.paging.token]
        self._counts = token.type_name == "integer"
        """Whether it goes by offsets, not tokens."""
        self._check = constraints.compile_check(token)

    def params(self, token: str, size: int) -> dict[str, Any]:
        """What to ask for a page with, beside the parent.

        Args:
            token: empty for the first page.
            size: how many rows are wanted; AWS's limit holds.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT, AWS's model does not allow the page token.
        """
        params: dict[str, Any] = {self.paging.size: max(1, min(size, self.max_size))}
        if self._counts:
            params[self.paging.token] = _offset(token)
        elif token:
            params[self.paging.token] = token
        if self.paging.token in params and self._check is not None:
            fault = self._check(params[self.paging.token])
            if fault is not None:
                raise _refused()
        return params

    def most(self, member: str) -> int:
        """The greatest number that the model has for a member of the answer."""
        return int(self._outputs[member].metadata["max"])

    def read(self, response: Mapping[str, Any]) -> Rows:
        """The page in an answer.

        Raises:
            errors.TaskgateError: UNKNOWN, the answer does not fit the model.
        """
        rows, token = response.get(self.paging.rows) or [], response.get(self.paging.next_token)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise errors.UnreadableResponseError(self.operation)
        return Rows(rows=rows, next_token="" if token is None else str(token), response=response)


def _offset(token: str) -> int:
    if not token:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 9:  # noqa: PLR2004  # no offset is so long
        raise _refused()
    return int(token)


def _modelled_paging(service: str, operation: str) -> Paging:
    paginator = model.paginators(service)[operation]
    return Paging(
        token=paginator["input_token"],
        next_token=paginator["output_token"],
        size=paginator["limit_key"],
        rows=paginator["result_key"],
    )


def _refused() -> errors.TaskgateError:
    return errors.invalid_request({"page_token": "is no next_page_token of an earlier answer"})
