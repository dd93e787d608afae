"""The members of AWS's messages that the services' code uses: listed, and in the model."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskgate_server import services
from taskgate_server.aws import model
from taskgate_server.aws.used_members import (
    MissingMembersError,
    UsedMembers,
    check,
    find_missing,
    load,
)
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec

SPECS = [spec for spec in SERVICES if spec.package.startswith(services.__name__)]
NOT_API = {"events.py", "spec.py", "used_members.py"}
"""Modules whose names are not those of members of requests or responses."""


def names_in(spec: ServiceSpec) -> Iterator[tuple[str, str]]:
    """Yield each text in the code that may be the name of a member, with its module."""
    for path in sorted((Path(services.__path__[0]) / spec.name).glob("*.py")):
        if path.name in NOT_API:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            for key in _keys(node):
                yield path.name, key


def _keys(node: ast.AST) -> Iterator[str]:
    found: list[ast.expr] = []
    if isinstance(node, ast.Subscript):
        found = [node.slice]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        found = node.args[:1] if node.func.attr == "get" else []
    elif isinstance(node, ast.Constant) and str(node.value) != str(node.value).lower():
        found = [node]
    for each in found:
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def members_of(service: model.ServiceModel) -> set[str]:
    """Return the names of all members of a service's model."""
    shapes = model.description(service)["shapes"].values()
    return {name for shape in shapes for name in shape.get("members", ())}


def test_every_own_service_lists_what_it_uses() -> None:
    assert [spec.name for spec in SPECS if not load(spec)] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_model_has_all_that_is_used(spec: ServiceSpec) -> None:
    check(spec)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_everything_that_the_code_names_is_listed(spec: ServiceSpec) -> None:
    paths = {
        name
        for used in load(spec).values()
        for path in (*used.request, *used.response)
        for name in path.split(".")
    }
    members = members_of(model.load_service(spec.name))
    named = [(module, key) for module, key in names_in(spec) if key in members]
    assert named, "the search finds nothing"
    assert [each for each in named if each[1] not in paths] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_each_renamed_member_is_found(spec: ServiceSpec) -> None:
    service = model.load_service(spec.name)
    for operation, used in load(spec).items():
        for part, paths in (("input", used.request), ("output", used.response)):
            for path in paths:
                renamed = without(service, operation, part, path.split("."))
                kind = "request" if part == "input" else "response"
                assert f"{operation} {kind}.{path}" in find_missing(renamed, {operation: used})


def without(
    service: model.ServiceModel, operation: str, part: str, path: list[str]
) -> model.ServiceModel:
    """Return a model in which a member has another name."""
    described: Any = dict(model.description(service))
    described["shapes"] = shapes = dict(described["shapes"])
    name = described["operations"][operation][part]["shape"]
    for index, member in enumerate(path):
        while shapes[name]["type"] == "list":
            name = shapes[name]["member"]["shape"]
        shapes[name] = copy.deepcopy(shapes[name])
        members = shapes[name]["members"]
        if index == len(path) - 1:
            members["renamed"] = members.pop(member)
        else:
            name = members[member]["shape"]
    return model.ServiceModel(described, service.service_name)


def test_error_names_operation_and_member(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"GetRun": UsedMembers(response=("status", "statuz")), "GetRunz": UsedMembers()}
    (omics,) = (spec for spec in SPECS if spec.name == "omics")
    monkeypatch.setattr(omics.load("used_members"), "USED_MEMBERS", used)
    with pytest.raises(MissingMembersError, match=r"GetRun response\.statuz, GetRunz"):
        check(omics)


def test_plug_in_without_a_list_is_not_checked() -> None:
    check(ServiceSpec(name="batch", title="AWS Batch", package="tests.support"))
