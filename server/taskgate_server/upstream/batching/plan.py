"""How calls about one item each become one batch call, and its response theirs: from AWS's model.

`ServiceSpec.batches` and `batch_writes` name the batch operations. The members that hold ids, items
and errors are found by their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from taskgate_server.aws.model import ListShape, ServiceModel, Shape, StructureShape

Params: TypeAlias = Mapping[str, Any]
ErrorResponse: TypeAlias = dict[str, Any]
"""An item's error, in the form that botocore has for those of whole calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    operation: str
    max_items: int
    ids: tuple[str, ...]
    """The members that identify an item."""
    request: str
    """The member of the request that lists the items' parameters."""
    errors: str
    """The member of the response that lists the items' errors."""

    def _errors(self, response: Mapping[str, Any]) -> dict[tuple[Any, ...], ErrorResponse]:
        return {
            self._key(error): {
                "Error": {"Code": error.get("code"), "Message": error.get("message") or ""}
            }
            for error in response.get(self.errors) or ()
        }

    def _key(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple([item.get(member) for member in self.ids])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan(_Batch):
    """A batch operation that replaces calls of a single operation that reads."""

    responses: str
    """The member of the response that lists the items."""

    def to_params(self, items: Sequence[Params]) -> dict[str, Any]:
        """Return the batch operation's parameters for those of single calls."""
        return {self.request: [dict(item) for item in items]}

    def split(
        self, items: Sequence[Params], response: Mapping[str, Any]
    ) -> list[dict[str, Any] | ErrorResponse]:
        """Return the response to each item, or its error with the key `Error`.

        An item that the response leaves out gets an error, too.
        """
        found = self._errors(response)
        for item in response.get(self.responses) or ():
            found[self._key(item)] = item
        missing = {"Error": {"Code": "Unknown", "Message": "AWS's response omits this item"}}
        return [found.get(self._key(item), missing) for item in items]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWritePlan(_Batch):
    """A batch operation that replaces calls of a single operation that writes."""

    token: str | None
    """The member that makes the batch idempotent."""

    def to_params(self, items: Sequence[Params], token: str) -> dict[str, Any]:
        """Return the batch operation's parameters for those of single calls without a token."""
        params: dict[str, Any] = {self.request: [dict(item) for item in items]}
        return params if self.token is None else {**params, self.token: token}

    def split(
        self, items: Sequence[Params], response: Mapping[str, Any]
    ) -> list[ErrorResponse | None]:
        """Return the error of each item; None for those that were written."""
        found = self._errors(response)
        return [found.get(self._key(item)) for item in items]


def plan_batch(service: ServiceModel, single: str, batch: str) -> BatchPlan | None:
    """Return how an operation batches reads.

    Args:
        service: botocore's model.
        single: the operation that reads one item.
        batch: the operation that reads many.

    Returns:
        None if it cannot: older versions of botocore do not have the batch operations.
    """
    if batch not in service.operation_names:
        return None
    one, many = service.operation_model(single), service.operation_model(batch)
    ids = tuple(_members(one.input_shape))
    requests = _lists(many.input_shape, set(ids))
    responses = _lists(many.output_shape, {*ids, *_members(one.output_shape)})
    errors = _lists(many.output_shape, {*ids, "code", "message"})
    if not (requests and responses and errors):
        return None
    return BatchPlan(
        operation=batch,
        max_items=int(_members(many.input_shape)[requests[0]].metadata["max"]),
        ids=ids,
        request=requests[0],
        responses=responses[0],
        errors=errors[0],
    )


def plan_batch_write(service: ServiceModel, single: str, batch: str) -> BatchWritePlan | None:
    """Return how an operation batches writes; see `plan_batch`."""
    if batch not in service.operation_names:
        return None
    one, many = service.operation_model(single), service.operation_model(batch)
    members = _members(one.input_shape)
    ids = tuple(
        name for name, shape in members.items() if shape.serialization.get("location") == "uri"
    )
    requests = _lists(many.input_shape, set(members) - set(one.idempotent_members))
    errors = _lists(many.output_shape, {*ids, "code", "message"})
    if not (requests and errors):
        return None
    return BatchWritePlan(
        operation=batch,
        max_items=int(_members(many.input_shape)[requests[0]].metadata["max"]),
        ids=ids,
        request=requests[0],
        errors=errors[0],
        token=next(iter(many.idempotent_members), None),
    )


def _members(shape: StructureShape | None) -> Mapping[str, Shape]:
    return shape.members if shape is not None else {}


def _lists(shape: StructureShape | None, needed: set[str]) -> list[str]:
    """Return the members that are lists of structures with at least the needed members."""
    return [
        member
        for member, target in _members(shape).items()
        if isinstance(target, ListShape)
        and isinstance(target.member, StructureShape)
        and needed <= set(target.member.members)
    ]
