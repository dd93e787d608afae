"""The generated contract: what is committed is what the model and the lock give, every time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from taskgate_server.aws import model
from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.__main__ import generate
from taskgate_server.codegen.exclusion import plan
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

PROTOS = Path(__file__).parents[2] / "protos"


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_generating_again_changes_nothing(spec: ServiceSpec) -> None:
    for path, text in generate(spec, PROTOS).items():
        assert path.read_text() == text, f"{path.name}: run `make gen`"


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_every_operation_and_member_of_the_model_is_in_the_contract(spec: ServiceSpec) -> None:
    service = model.load_service(spec.name)
    lock = locks.load(PROTOS / "taskgate" / spec.name / "v1" / f"{spec.name}.lock.json")
    names = [name for name in service.operation_names if name not in lock.excluded]
    contract = plan(spec, service, lock).contract
    assert [rpc.name for rpc in contract.rpcs] == sorted(names)
    for operation in model.operations(model.with_operations(service, names)):
        for shape, suffix in (
            (operation.input_shape, "Request"),
            (operation.output_shape, "Response"),
        ):
            members = [field.member for field in contract.messages[operation.name + suffix].fields]
            expected = list(shape.members) if shape else []
            assert [member for member in members if member] == expected


def test_operations_with_quotas_exist() -> None:
    for spec in SERVICES:
        names = set(model.load_service(spec.name).operation_names)
        assert set(spec.request_rates) <= names


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_contract_is_independent_of_the_names_of_shapes(spec: ServiceSpec) -> None:
    """Each shape but the errors, which comments list, gets another name at once."""
    described = model.description(model.load_service(spec.name))
    shapes = described["shapes"]
    names = {
        name: name if shape.get("exception") else f"Other{name}" for name, shape in shapes.items()
    }
    renamed = _renamed(described, names)
    renamed["shapes"] = {names[name]: shape for name, shape in renamed["shapes"].items()}
    proto, lock = generate(spec, PROTOS, model.ServiceModel(renamed, spec.name)).items()
    assert proto[1] == proto[0].read_text()
    after, before = locks.parse(lock[1]), locks.load(lock[0])
    assert after.messages == before.messages
    assert after.enums == before.enums
    assert len(after.shapes) > 100


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: names[each] if key == "shape" and isinstance(each, str) else _renamed(each, names)
            for key, each in value.items()
        }
    return [_renamed(each, names) for each in value] if isinstance(value, list) else value
