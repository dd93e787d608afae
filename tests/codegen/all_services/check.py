"""Takes one AWS service from botocore's model to calls: generate, compile, import, compare."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from taskgate_server.aws import model
from tests.codegen.all_services import contracts
from tests.codegen.all_services.comparison import Comparison, Result, judged_environment
from tests.support.seeds import seeded

OPERATIONS = 25
"""Compared of each service, if it has so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The outcome for a service."""

    rejected: contracts.Rejected
    result: Result


def check(name: str, operations: int = OPERATIONS) -> Checked:
    """Check a service; runs in a process of its own, since imported contracts stay."""
    description = contracts.load_description(name)
    service = model.ServiceModel(description, name)
    spec = contracts.spec_of(name, service)
    found = contracts.rejected(spec, service)
    result = Result()
    if found.service:
        return Checked(rejected=found, result=result)
    # The files are imported by then.
    with tempfile.TemporaryDirectory() as root:
        contract = contracts.compile_contract(spec, service, found, Path(root))
    lenient = model.ServiceModel(contracts.without_odd_patterns(description), name)
    with judged_environment():
        comparison = Comparison(spec, contract, lenient)
        for operation in chosen(lenient, contract.methods_by_name, operations):
            comparison.compare(operation, result)
        comparison.close()
    return Checked(rejected=found, result=result)


def chosen(
    service: model.ServiceModel, served: Iterable[str], count: int
) -> list[model.OperationModel]:
    """Return operations to compare: those with rare features first, then others at random."""
    found = [service.operation_model(name) for name in sorted(served)]
    seeded(str(service.service_name)).shuffle(found)
    found.sort(key=lambda operation: -len(rare_features(operation)))
    return found[:count]


def rare_features(operation: model.OperationModel) -> set[str]:
    """Return the features of an operation that few services have."""
    found = set()
    for direction, shape in (("in", operation.input_shape), ("out", operation.output_shape)):
        members = shape.members.values() if shape is not None else ()
        if shape is not None and "payload" in shape.serialization:
            payload = shape.members[shape.serialization["payload"]]
            streams = ", streamed" if payload.serialization.get("streaming") else ""
            found.add(f"payload {direction}: {payload.type_name}{streams}")
        found |= {f"{direction}: {name}" for name in filter(None, map(_rare_place, members))}
    if model.greedy_members(operation):
        found.add("greedy label")
    if "{" in str(operation.endpoint or ""):
        found.add("host label")
    return found


def _rare_place(member: model.Shape) -> str:
    """Return a member's unusual place in HTTP; empty for others."""
    location = str(member.serialization.get("location", ""))
    if location in ("uri", "header", "headers") and member.type_name != "string":
        return f"{location} {member.type_name}"
    return "JSON header" if location and model.is_document(member) else ""
