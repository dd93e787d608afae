"""Requests to AWS, with what the gateway derives from the model of their operation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from taskgate_server.errors import TaskgateError
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.in_flight import InFlightCall
from taskgate_server.upstream.resources import Resource, compile_resource

if TYPE_CHECKING:  # importing botocore's models takes 0.2 s, and the server listens before that
    from taskgate_server.aws.model import ServiceModel
    from taskgate_server.upstream.batching.plan import BatchPlan, BatchWritePlan

P = TypeVar("P")

KEY_ITEM_BYTES: Final = 150
"""A parameter in a key: its tuple, and its entry in the set."""

Params: TypeAlias = Mapping[str, Any]
Outcome: TypeAlias = AwsResponse | TaskgateError
"""The result of a call."""


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
    """The operation that batches this read."""
    batch_write: BatchWritePlan | None
    """The operation that batches this write."""


@dataclass(frozen=True, slots=True, eq=False)
class AwsRequest:
    """A request of one operation, which may be sent any number of times."""

    operation: str
    params: Params
    """As boto3 takes them."""
    plan: OperationPlan
    key: Hashable
    """See `request_key`."""
    resource: Resource
    """The resource that it is about."""


Read: TypeAlias = InFlightCall[AwsRequest, AwsResponse]
"""A shared read in flight."""


def make_aws_request(operation: str, params: Params, plan: OperationPlan) -> AwsRequest:
    """Return the request of an operation with parameters."""
    key = request_key(operation, params)
    return AwsRequest(operation, params, plan, key, plan.resource(params))


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
    return sum(sys.getsizeof(value) + KEY_ITEM_BYTES for _, value in params)


def plan_operation(spec: ServiceSpec, name: str) -> OperationPlan:
    """Return the plan of an operation, by its AWS name. Imports botocore's models."""
    from taskgate_server.aws import model  # noqa: PLC0415  # see above
    from taskgate_server.upstream.batching.plan import (  # noqa: PLC0415  # see above
        plan_batch,
        plan_batch_write,
    )

    service = model.load_service(spec.name)
    operation = service.operation_model(name)
    is_read = name.startswith(spec.shared_reads)
    streams = operation.has_streaming_output or operation.has_streaming_input
    return OperationPlan(
        is_read=is_read,
        is_shared=is_read and not streams,
        resource=compile_resource(model.route(operation)),
        token=next(iter(operation.idempotent_members), None),
        batch=_batch(plan_batch, service, name, spec.batches),
        batch_write=_batch(plan_batch_write, service, name, spec.batch_writes),
    )


def _batch(
    plan: Callable[[ServiceModel, str, str], P | None],
    service: ServiceModel,
    name: str,
    batches: Mapping[str, str],
) -> P | None:
    batch = batches.get(name)
    return None if batch is None else plan(service, name, batch)
