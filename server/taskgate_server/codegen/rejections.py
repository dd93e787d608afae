"""Finds what Taskgate cannot serve of an AWS service, before anything of it is written."""

from __future__ import annotations

from collections.abc import Container

from taskgate_server.aws import model
from taskgate_server.codegen import collisions
from taskgate_server.codegen.contract import UnsupportedModelError, read_contract
from taskgate_server.services.spec import ServiceSpec


def check(spec: ServiceSpec, service: model.ServiceModel, excluded: Container[str]) -> None:
    """Check that all operations of a service but the excluded ones can be served.

    Raises:
        UnsupportedModelError: a line for each that cannot, with service, operation and reason.
    """
    check_service(spec, service)
    faults = unserved_operations(spec, service, excluded)
    if faults:
        lines = [f"{spec.name}: {name}: {reason}" for name, reason in faults.items()]
        lines.append("a model update (codegen --update) leaves these operations out")
        raise UnsupportedModelError("\n".join(lines))


def check_service(spec: ServiceSpec, service: model.ServiceModel) -> None:
    """Check that Taskgate can sign the requests of a service and read its responses.

    Raises:
        UnsupportedModelError: they have another format than JSON, or AWS needs a bearer token.
    """
    if service.signature_version == "bearer":
        raise UnsupportedModelError(
            f"{spec.name}: all operations: AWS requires a bearer token, but Taskgate signs requests"
        )
    protocol = model.protocol(service)
    if protocol not in model.SERVED_PROTOCOLS:
        served = " and ".join(model.SERVED_PROTOCOLS)
        raise UnsupportedModelError(
            f"{spec.name}: all operations: the protocol is {protocol}, only {served} are served"
        )


def unserved_operations(
    spec: ServiceSpec, service: model.ServiceModel, excluded: Container[str] = ()
) -> dict[str, str]:
    """Return the operations that cannot be served, and why; without the excluded ones."""
    faults: dict[str, str] = {}
    for operation in model.operations(service):
        if operation.name in excluded:
            continue
        try:
            # Alone, since operations share shapes: each is reported that has the fault.
            collisions.check(read_contract(spec, service, [operation]))
        except UnsupportedModelError as error:
            faults[operation.name] = str(error)
    return faults
