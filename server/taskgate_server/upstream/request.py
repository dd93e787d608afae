"""Requests to AWS, and how those of each operation are handled, from AWS's model.

A resource is what an operation is about: for `GetTask` the segments of its HTTP route up to the
last id, filled in. `ServiceSpec.batches` and `batch_writes` name the operations that replace many
calls about one item each; the members that hold ids, items and errors are found by their shapes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from taskgate_server.error_texts import sanitize
from taskgate_server.services.spec import ServiceSpec

if TYPE_CHECKING:  # importing botocore's models takes 0.2 s, and the server listens before that
    from taskgate_server.aws.model import OperationModel, ServiceModel, Shape

KEY_ITEM_BYTES: Final = 150
"""A parameter in a key: its tuple, and its entry in the set."""

OMITTED: Final = {"Error": {"Code": "Unknown", "Message": "AWS's response omits this item"}}

Params: TypeAlias = Mapping[str, Any]
Resource: TypeAlias = tuple[str, ...]
"""Such as `("farms", "farm-1", "queues", "queue-1")`; empty for a whole AWS service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """A batch operation that replaces calls about one item each."""

    operation: str
    max_items: int
    ids: tuple[str, ...]
    """The members that identify an item."""
    request: str
    """The member of the request that lists the items' parameters."""
    responses: str | None
    """The member of the response that lists the items; None if single calls return nothing."""
    errors: str
    """The member of the response that lists the items' errors."""
    token: str | None
    """The member that makes the batch idempotent."""

    def to_params(self, items: Sequence[Params], token: str = "") -> dict[str, Any]:
        """Return the batch operation's parameters for those of single calls without a token."""
        params: dict[str, Any] = {self.request: [dict(item) for item in items]}
        return params if self.token is None else {**params, self.token: token}

    def split(self, items: Sequence[Params], response: Params) -> list[dict[str, Any]]:
        """Return the response to each item, or its error in botocore's form, with the key `Error`.

        An item that the response should have and omits gets an error, too.
        """
        found: dict[tuple[Any, ...], dict[str, Any]] = {
            self._key(error): {
                "Error": {"Code": error.get("code"), "Message": error.get("message") or ""}
            }
            for error in response.get(self.errors) or ()
        }
        if self.responses is None:
            return [found.get(self._key(item), {}) for item in items]
        found |= {self._key(item): item for item in response.get(self.responses) or ()}
        return [found.get(self._key(item), OMITTED) for item in items]

    def _key(self, item: Params) -> tuple[Any, ...]:
        return tuple([item.get(member) for member in self.ids])


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationPlan:
    """How calls of one operation are handled."""

    is_read: bool
    """Whether AWS may execute the call more than once."""
    is_shared: bool
    """Whether it is a read whose response may go to several callers; a stream may not."""
    resource: Callable[[Params], Resource]
    token: str | None
    """The member that makes a write idempotent, if it has one."""
    batch: BatchPlan | None
    """The operation that batches its calls."""


@dataclass(frozen=True, slots=True, eq=False)
class AwsRequest:
    """A request of one operation, which may be sent any number of times."""

    operation: str
    params: Params
    """As boto3 takes them."""
    plan: OperationPlan
    key: Hashable
    """See `request_key`."""

    @property
    def resource(self) -> Resource:
        """The resource that it is about."""
        return self.plan.resource(self.params)


def make_aws_request(operation: str, params: Params, plan: OperationPlan) -> AwsRequest:
    """Return the request of an operation with parameters."""
    key = request_key(operation, params)
    return AwsRequest(operation, params, plan, key)


def request_key(operation: str, params: Params) -> Hashable:
    """Return a key that is equal for equal requests only, whatever the order of parameters."""
    try:
        key = frozenset(params.items())
        hash(key)
    except TypeError:  # a list or a structure in it
        return operation, json.dumps(params, sort_keys=True, default=repr)
    return operation, key


def key_bytes(key: Hashable) -> int:
    """Return the memory that a key of `request_key` takes."""
    _, params = cast("tuple[str, str | frozenset[tuple[str, object]]]", key)
    if isinstance(params, str):
        return sys.getsizeof(params)
    return sum([sys.getsizeof(value) + KEY_ITEM_BYTES for _, value in params])


def plan_operation(spec: ServiceSpec, name: str) -> OperationPlan:
    """Return the plan of an operation, by its AWS name. Imports botocore's models."""
    from taskgate_server.aws import model  # noqa: PLC0415  # see above

    service = model.load_service(spec.name)
    operation = service.operation_model(name)
    is_read = name.startswith(spec.shared_reads)
    streams = operation.has_streaming_output or operation.has_streaming_input
    batch = spec.batches.get(name) or spec.batch_writes.get(name)
    return OperationPlan(
        is_read=is_read,
        is_shared=is_read and not streams,
        resource=compile_resource(operation),
        token=next(iter(operation.idempotent_members), None),
        batch=None if batch is None else plan_batch(service, name, batch),
    )


def compile_resource(operation: OperationModel) -> Callable[[Params], Resource]:
    """Return a function from boto3 parameters to the resource of an operation.

    The last literal segments of its route name a collection or a verb (`/run/{id}/cancel`), not a
    resource. An operation without an id in its route is about the whole service.
    """
    from taskgate_server.aws import model  # noqa: PLC0415  # see above

    segments = list(model.route(operation))
    while segments and not segments[-1].member:
        segments.pop()

    def resource(params: Params) -> Resource:
        return tuple([str(params.get(member, "")) if member else text for text, member in segments])

    return resource


def resource_name(service: str, operation: str, params: Params) -> str:
    """Return the resource of a request for its errors, such as `run/7/task/8`.

    It has the segments of the HTTP route, without AWS accounts, and is empty if that has no id.
    """
    from taskgate_server.aws import model  # noqa: PLC0415  # see above

    resource = compile_resource(model.load_service(service).operation_model(operation))
    return "/".join(sanitize(each) if ":" in each else each for each in resource(params))


def plan_batch(service: ServiceModel, single: str, batch: str) -> BatchPlan | None:
    """Return how an operation batches calls of the single operation; None if it cannot.

    Older versions of botocore do not have the batch operations.
    """
    if batch not in service.operation_names:
        return None
    one, many = service.operation_model(single), service.operation_model(batch)
    members, results = _members(one.input_shape), set(_members(one.output_shape))
    ids = [name for name, each in members.items() if each.serialization.get("location") == "uri"]
    requests = _lists(many.input_shape, set(members) - set(one.idempotent_members))
    responses: Sequence[str | None] = (
        _lists(many.output_shape, results.union(ids)) if results else [None]
    )
    errors = _lists(many.output_shape, {*ids, "code", "message"})
    if not (requests and responses and errors):
        return None
    return BatchPlan(
        operation=batch,
        max_items=int(_members(many.input_shape)[requests[0]].metadata["max"]),
        ids=tuple(ids),
        request=requests[0],
        responses=responses[0],
        errors=errors[0],
        token=next(iter(many.idempotent_members), None),
    )


def _members(shape: Shape | None) -> Mapping[str, Shape]:
    """Return the members of a structure; of anything else, none."""
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    return members


def _lists(shape: Shape | None, needed: set[str]) -> Sequence[str]:
    """Return the members that are lists of structures with at least the needed members."""
    return [
        name
        for name, target in _members(shape).items()
        if needed <= _members(getattr(target, "member", None)).keys()
    ]
