"""Faults of plug-ins are reported when the server starts."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from taskgate_server.plugins import find_faults
from taskgate_server.services.registry import SERVICES
from taskgate_server.services.spec import ServiceSpec
from taskgate_server.tasks.backend import TaskBackend

SPEC = ServiceSpec(
    name="example", title="Example", package="example_plugin", parent_names={"jobs": "example/{id}"}
)


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the content of the modules of a plug-in, complete but for its tasks."""
    content: dict[str, Any] = {
        "tasks": {"Tasks": type("Tasks", (TaskBackend,), {})},
        "watch": {"Sources": SimpleNamespace(parent_kinds=("jobs",))},
        "logs": {"Finder": object},
        "events": {"read_name": object},
    }
    package = ModuleType("example_plugin")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "example_plugin", package)
    for name, members in content.items():
        module = ModuleType(f"example_plugin.{name}")
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return content


@pytest.mark.parametrize("spec", SERVICES, ids=lambda spec: spec.name)
def test_services_of_taskgate_have_no_fault(spec: ServiceSpec) -> None:
    assert find_faults(spec) == []


@pytest.mark.usefixtures("modules")
def test_missing_members_are_named() -> None:
    assert find_faults(SPEC) == [
        f"plug-in example_plugin: Tasks.{name} is missing"
        for name in ("list_page", "summarize", "to_task", "names", "states", "native_fields")
    ]


@pytest.mark.usefixtures("modules")
def test_missing_module_and_unknown_kind_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "example_plugin.logs")
    sources = SimpleNamespace(parent_kinds=("runs",))
    monkeypatch.setattr(sys.modules["example_plugin.watch"], "Sources", sources)
    monkeypatch.delattr(sys.modules["example_plugin.tasks"], "Tasks")
    assert find_faults(SPEC) == [
        "plug-in example_plugin: the module tasks has no Tasks",
        "plug-in example_plugin: cannot import the module logs:"
        " No module named 'example_plugin.logs'",
        "plug-in example_plugin: Sources names the parent kind runs, which parent_names of its"
        " spec lacks",
    ]
