"""Pagination of AWS's list operations, from botocore's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from taskgate_server import errors
from taskgate_server.aws import constraints, model
from taskgate_server.aws.fitting import wire_name

MAX_OFFSET_DIGITS: Final = 9

UNMODELLED_MAX: Final = 100
"""The maximum number of rows where AWS's model has none. Lists of AWS accept 100 at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A page of an AWS list."""

    rows: Sequence[Mapping[str, Any]]
    next_token: str
    """Empty after the last page."""
    response: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """The names of an operation's members for pagination; botocore has them for most operations."""

    token: str
    next_token: str
    size: str
    rows: str


class PagedOperation:
    """An AWS operation that returns a list in pages.

    Args:
        service: botocore's name of the AWS service.
        operation: AWS's name, such as `ListTasks`.
        paging: the names of its members for pagination; None for botocore's.

    Raises:
        ValueError: the operation does not return a list.
    """

    def __init__(self, service: str, operation: str, paging: Paging | None = None) -> None:
        found = model.load_service(service).operation_model(operation)
        if found.input_shape is None or found.output_shape is None:
            raise ValueError(f"{operation} does not list")
        self.operation = operation
        self.paging = paging or _modelled_paging(service, operation)
        self.inputs: Mapping[str, Any] = found.input_shape.members
        outputs: Mapping[str, Any] = found.output_shape.members
        self.max_size: int = self.inputs[self.paging.size].metadata.get("max", UNMODELLED_MAX)
        row = outputs[self.paging.rows].member.members
        self.members = frozenset(row)
        """The members of a row."""
        self.row_keys = frozenset(wire_name(name, shape) for name, shape in row.items())
        """Their keys in responses, which AWS's JSON may spell otherwise."""
        self._outputs = outputs
        self._rows = wire_name(self.paging.rows, outputs[self.paging.rows])
        next_token = self.paging.next_token
        self._next_token = wire_name(next_token, outputs[next_token])
        token = self.inputs[self.paging.token]
        self._uses_offsets = token.type_name == "integer"
        """Whether page tokens are offsets."""
        self._check = constraints.compile_check(token)

    def params(self, token: str, size: int) -> dict[str, Any]:
        """Return the boto3 parameters of a page, without those of the parent.

        Args:
            token: the page token; empty for the first page.
            size: the number of rows; AWS's limit applies.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT, AWS's model does not allow the page token.
        """
        params: dict[str, Any] = {self.paging.size: max(1, min(size, self.max_size))}
        if self._uses_offsets:
            params[self.paging.token] = _offset(token)
        elif token:
            params[self.paging.token] = token
        if self.paging.token in params and self._check is not None:
            fault = self._check(params[self.paging.token])
            if fault is not None:
                raise _invalid_token()
        return params

    def maximum(self, member: str) -> int:
        """Return the model's maximum of a member of the response."""
        return int(self._outputs[member].metadata["max"])

    def read(self, response: Mapping[str, Any]) -> Rows:
        """Return the page in a response.

        Raises:
            errors.TaskgateError: UNKNOWN, the response does not fit the model.
        """
        rows, token = response.get(self._rows) or [], response.get(self._next_token)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise errors.UnreadableResponseError(self.operation)
        return Rows(rows=rows, next_token="" if token is None else str(token), response=response)


def _offset(token: str) -> int:
    if not token:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > MAX_OFFSET_DIGITS:
        raise _invalid_token()
    return int(token)


def _modelled_paging(service: str, operation: str) -> Paging:
    paginator = model.paginators(service)[operation]
    return Paging(
        token=paginator["input_token"],
        next_token=paginator["output_token"],
        size=paginator["limit_key"],
        rows=paginator["result_key"],
    )


def _invalid_token() -> errors.TaskgateError:
    return errors.invalid_request({"page_token": "is not a next_page_token of an earlier response"})
