"""What the gateway knows of one operation before it is called, compiled from the model once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from taskgate_server.aws import model
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.upstream.batching.plan import (
    BatchPlan,
    BatchWritePlan,
    NoBatchError,
    plan_batch,
    plan_batch_write,
)
from taskgate_server.upstream.resources import compile_resource
from taskgate_server.upstream.writes import Resource

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationPlan:
    """How calls of one operation are treated."""

    is_read: bool
    """Whether AWS may be asked again, and nothing has changed thereby."""
    is_shared: bool
    """Whether it is a read whose answer may go to several callers; a stream may not."""
    resource: Callable[[Mapping[str, Any]], Resource]
    token: str | None
    """The member that makes a write safe to repeat, if it has one."""
    batch: BatchPlan | None
    """The operation that reads many of what this one reads."""
    batch_write: BatchWritePlan | None
    """The operation that writes many of what this one writes."""


def plan_operation(spec: ServiceSpec, name: str) -> OperationPlan:
    """The plan of an operation, by its AWS name."""
    service = model.load_service(spec.name)
    operation = service.operation_model(name)
    is_read = name.startswith(spec.shared_reads)
    streams = operation.has_streaming_output or operation.has_streaming_input
    return OperationPlan(
        is_read=is_read,
        is_shared=is_read and not streams,
        resource=compile_resource(operation),
        token=next(iter(operation.idempotent_members), None),
        batch=_batch(plan_batch, service, name, spec.batches),
        batch_write=_batch(plan_batch_write, service, name, spec.batch_writes),
    )


def _batch(
    plan: Callable[[model.ServiceModel, str, str], P],
    service: model.ServiceModel,
    name: str,
    batches: Mapping[str, str],
) -> P | None:
    batch = batches.get(name)
    if batch is None:
        return None
    try:
        return plan(service, name, batch)
    except NoBatchError:  # an older botocore: batch operations came in April 2026
        return None
