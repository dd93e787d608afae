"""The contract of any AWS service: generated, compiled with protoc and imported."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from botocore.loaders import Loader
from google.protobuf.descriptor import ServiceDescriptor
from grpc_tools import protoc

import taskgate
from taskgate_server.aws import model
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen import rejections
from taskgate_server.codegen.__main__ import generate
from taskgate_server.codegen.contract import UnsupportedModelError
from taskgate_server.codegen.lock import Lock
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from tests.support.contract import patterns

PROTOS = Path(__file__).parents[3] / "protos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """What the generator rejects of a service."""

    service: str = ""
    """Why all of it is rejected; empty if it is not."""
    operations: tuple[tuple[str, str], ...] = ()
    """Operations, and why each is rejected."""


def service_names() -> list[str]:
    """Return botocore's names of all services in the installed version."""
    return Loader().list_available_services("service-2")


def load_description(name: str) -> dict[str, Any]:
    """Return the model of a service as JSON has it."""
    description: dict[str, Any] = Loader().load_service_model(name, "service-2")
    return description


def spec_of(name: str, service: model.ServiceModel) -> ServiceSpec:
    """Return the spec of a service: the server's own, or the minimum."""
    known = next((spec for spec in SERVICES if spec.name == name), None)
    title = re.sub("[^A-Za-z0-9]", "", service.service_id)
    return known or ServiceSpec(name=name, title=title, grpc_service=f"{title}Service")


def rejected(spec: ServiceSpec, service: model.ServiceModel) -> Rejected:
    """Return what the generator rejects."""
    try:
        rejections.check_service(spec, service)
    except UnsupportedModelError as error:
        return Rejected(service=str(error))
    operations = rejections.unserved_operations(spec, service)
    return Rejected(operations=tuple(sorted(operations.items())))


def compile_contract(
    spec: ServiceSpec, service: model.ServiceModel, found: Rejected, root: Path
) -> ServiceDescriptor:
    """Generate the contract of a service, compile and import it; return its gRPC service.

    Args:
        spec: the service.
        service: its model.
        found: the operations that are left out.
        root: a folder for the files.

    The server's own services have the committed field numbers, and are imported already.
    """
    if spec not in SERVICES:
        lock = Lock(excluded=dict(found.operations))
        path = root / "protos" / spec.proto_package.replace(".", "/") / f"{spec.proto_name}"
        path.parent.mkdir(parents=True)
        path.with_suffix(".lock.json").write_text(locks.dump(lock))
        files = generate(spec, root / "protos", service)
        for path, text in files.items():
            path.write_text(text)
        _run_protoc(root, next(path for path in files if path.suffix == ".proto"))
        packages: Any = taskgate.__path__
        packages.append(str(root / "stubs" / "taskgate"))
    module = import_module(spec.contract_module)
    import_module(f"{spec.contract_module}_grpc")
    contract: ServiceDescriptor = module.DESCRIPTOR.services_by_name[spec.grpc_service]
    return contract


def _run_protoc(root: Path, proto: Path) -> None:
    output = root / "stubs"
    output.mkdir(exist_ok=True)
    bundled = resources.files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        f"--proto_path={root / 'protos'}",
        f"--proto_path={bundled}",
        f"--python_out={output}",
        f"--grpc_python_out={output}",
        str(proto),
    ]
    assert protoc.main(arguments) == 0, f"protoc rejects {proto.name}"


def without_odd_patterns(description: dict[str, Any]) -> dict[str, Any]:
    """Return a model without the patterns that the tests cannot generate texts for."""
    changed = copy.deepcopy(description)
    for shape in changed["shapes"].values():
        pattern = shape.get("pattern")
        if pattern is not None and not _has_texts(pattern, shape):
            del shape["pattern"]
    return changed


def _has_texts(pattern: str, shape: dict[str, Any]) -> bool:
    try:
        for text in patterns.texts(pattern, shape.get("min", 0), shape.get("max", 10_000)):
            text.encode()  # an unpaired surrogate is no text
    except Exception:  # noqa: BLE001  # Python's own parser of patterns raises many
        return False
    return True
