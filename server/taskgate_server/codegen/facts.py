"""Comments of the generated contract: facts from the model, without AWS's documentation."""

from __future__ import annotations

import textwrap

from taskgate_server.aws import model
from taskgate_server.services.spec import ServiceSpec


def operation(
    spec: ServiceSpec, service: model.ServiceModel, op: model.OperationModel
) -> tuple[str, ...]:
    """Return the comment of an RPC: HTTP route, quota, errors, reference page."""
    lines = [f"{op.http['method']} {op.http['requestUri']}"]
    rate = spec.request_rates.get(op.name)
    if rate is not None:
        lines.append(f"Default quota: {rate:g} calls/s for each account and region.")
    if op.idempotent_members:
        lines.append(f"Idempotent by {', '.join(op.idempotent_members)}.")
    errors = sorted(shape.name for shape in op.error_shapes)
    if errors:
        lines += textwrap.wrap(f"Errors: {', '.join(errors)}.", width=92)
    uid = service.metadata["uid"]
    lines.append(f"https://docs.aws.amazon.com/goto/WebAPI/{uid}/{op.name}")
    return tuple(lines)


def member(owner: model.StructureShape, name: str, shape: model.Shape) -> tuple[str, ...]:
    """Return the comment of a field: constraints that its type does not express."""
    facts = []
    if model.is_required(owner, name):
        facts.append("Required.")
    facts += _constraints(shape)
    if isinstance(shape, model.ListShape):
        facts += _element_facts("Each", shape.member)
    if isinstance(shape, model.MapShape):
        facts += _element_facts("Each key", shape.key) + _element_facts("Each value", shape.value)
    if shape.metadata.get("idempotencyToken"):
        facts.append("Idempotency token; generated if absent.")
    if model.is_sensitive(shape):
        facts.append("Sensitive.")
    return tuple(facts)


def _element_facts(what: str, shape: model.Shape) -> list[str]:
    return [f"{what}: {fact[0].lower()}{fact[1:]}" for fact in _constraints(shape)]


def _constraints(shape: model.Shape) -> list[str]:
    facts = []
    bounds = _bounds(shape.metadata.get("min"), shape.metadata.get("max"))
    if bounds and not model.enum_values(shape):
        noun = {"string": "Length", "blob": "Length", "list": "Items", "map": "Entries"}
        facts.append(f"{noun.get(shape.type_name, 'Range')} {bounds}.")
    if "pattern" in shape.metadata:
        facts.append(f"Pattern {shape.metadata['pattern']}")
    return facts


def _bounds(low: object, high: object) -> str:
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"at least {low}"
    return f"at most {high}" if high is not None else ""
