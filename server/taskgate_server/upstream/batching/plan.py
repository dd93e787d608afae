"""How calls about one thing become one about many, and its answer theirs again: from AWS's model.

`ServiceSpec.batches` and `batch_writes` say which operation batches which. The members that hold
ids, things and errors are found by their shapes. Counterparts: `batcher` decides which reads leave
when, `batched_writes` sends writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from taskgate_server.aws import model

Params: TypeAlias = Mapping[str, Any]
ErrorResponse: TypeAlias = dict[str, Any]
"""An item's error in the form in which botocore has those of whole calls."""


class NoBatchError(Exception):
    """This botocore has no such batch operation, or it cannot stand in for the single one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """One batch operation that stands in for many calls of a single one."""

    operation: str
    max_items: int
    ids: tuple[str, ...]
    """The members that tell one item from another: all of the single operation's parameters."""
    request: str
    """The member of the request that lists the ids."""
    responses: str
    """The member of the answer that lists the things."""
    errors: str
    """The member of the answer that lists the items' errors."""

    def to_params(self, items: Sequence[Params]) -> dict[str, Any]:
        """The batch operation's parameters for these single ones."""
        return {self.request: [dict(item) for item in items]}

    def split(
        self, items: Sequence[Params], response: Mapping[str, Any]
    ) -> list[dict[str, Any] | ErrorResponse]:
        """For each item its thing, or its error with the key `Error`, in the items' order.

        An item that AWS says nothing of gets an error, too.
        """
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for error in response.get(self.errors) or ():
            found[self._key(error)] = _item_error(error)
        for thing in response.get(self.responses) or ():
            found[self._key(thing)] = thing
        missing = {"Error": {"Code": "Unknown", "Message": "AWS's answer left this item out"}}
        return [found.get(self._key(item), missing) for item in items]

    def _key(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple([item.get(member) for member in self.ids])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWritePlan:
    """One batch operation that stands in for many calls of a single one that writes."""

    operation: str
    max_items: int
    ids: tuple[str, ...]
    """The members that name what is written: the single operation's path."""
    request: str
    """The member of the request that lists the writes."""
    errors: str
    """The member of the answer that lists the items' errors; it has nothing of the others."""
    token: str | None
    """The member that makes the batch safe to repeat."""

    def to_params(self, items: Sequence[Params], token: str) -> dict[str, Any]:
        """The batch operation's parameters for these single ones, which have no token."""
        params: dict[str, Any] = {self.request: [dict(item) for item in items]}
        return params if self.token is None else {**params, self.token: token}

    def split(
        self, items: Sequence[Params], response: Mapping[str, Any]
    ) -> list[ErrorResponse | None]:
        """For each item its error, or None, in the items' order."""
        found = {self._key(error): _item_error(error) for error in response.get(self.errors) or ()}
        return [found.get(self._key(item)) for item in items]

    def _key(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(item.get(member) for member in self.ids)


def plan_batch(service: model.ServiceModel, single: str, batch: str) -> BatchPlan:
    """How `batch` stands in for calls of `single`.

    Raises:
        NoBatchError: it cannot.
    """
    if batch not in service.operation_names:
        raise NoBatchError(f"this botocore has no {batch}")
    one, many = service.operation_model(single), service.operation_model(batch)
    ids = tuple(_members(one.input_shape))
    requests = _lists(many.input_shape, set(ids))
    responses = _lists(many.output_shape, {*ids, *_members(one.output_shape)})
    errors = _lists(many.output_shape, {*ids, "code", "message"})
    if not (requests and responses and errors):
        raise NoBatchError(f"{batch} does not tell all that {single} tells")
    shape = _members(many.input_shape)[requests[0]]
    return BatchPlan(
        operation=batch,
        max_items=int(shape.metadata["max"]),
        ids=ids,
        request=requests[0],
        responses=responses[0],
        errors=errors[0],
    )


def plan_batch_write(service: model.ServiceModel, single: str, batch: str) -> BatchWritePlan:
    """How `batch` stands in for calls of `single`, which writes.

    Raises:
        NoBatchError: it cannot.
    """
    if batch not in service.operation_names:
        raise NoBatchError(f"this botocore has no {batch}")
    one, many = service.operation_model(single), service.operation_model(batch)
    members = _members(one.input_shape)
    ids = tuple(
        name for name, shape in members.items() if shape.serialization.get("location") == "uri"
    )
    requests = _lists(many.input_shape, set(members) - set(one.idempotent_members))
    errors = _lists(many.output_shape, {*ids, "code", "message"})
    if not (requests and errors):
        raise NoBatchError(f"{batch} does not do all that {single} does")
    shape = _members(many.input_shape)[requests[0]]
    return BatchWritePlan(
        operation=batch,
        max_items=int(shape.metadata["max"]),
        ids=ids,
        request=requests[0],
        errors=errors[0],
        token=next(iter(many.idempotent_members), None),
    )


def _item_error(error: Mapping[str, Any]) -> ErrorResponse:
    return {"Error": {"Code": error.get("code"), "Message": error.get("message") or ""}}


def _members(shape: model.StructureShape | None) -> Mapping[str, model.Shape]:
    return shape.members if shape is not None else {}


def _lists(shape: model.StructureShape | None, needed: set[str]) -> list[str]:
    """The members that are lists of structures with at least the needed members."""
    return [
        member
        for member, target in _members(shape).items()
        if isinstance(target, model.ListShape)
        and isinstance(target.member, model.StructureShape)
        and needed <= set(target.member.members)
    ]
