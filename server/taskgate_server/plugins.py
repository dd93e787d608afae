"""Checks of plug-ins, so that a fault is reported when the server starts, and not by a call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from taskgate_server.services.spec import ServiceSpec

MODULES: Final = {"tasks": "Tasks", "watch": "Sources", "logs": "Finder", "events": "read_name"}
"""The modules of a plug-in, and what each must have."""

ATTRIBUTES: Final = ("names", "states", "native_fields")
"""What a class `Tasks` must define besides its abstract methods."""


def find_faults(spec: ServiceSpec) -> list[str]:
    """Return a line for each fault of a plug-in."""
    return [f"plug-in {spec.package}: {fault}" for fault in _faults(spec)]


def _faults(spec: ServiceSpec) -> Iterator[str]:
    found: dict[str, Any] = {}
    for name, member in MODULES.items():
        try:
            found[member] = getattr(spec.load(name), member)
        except ImportError as error:
            yield f"cannot import the module {name}: {error}"
        except AttributeError:
            yield f"the module {name} has no {member}"
    if "Tasks" in found:
        tasks = found["Tasks"]
        missing = [*sorted(tasks.__abstractmethods__), *ATTRIBUTES]
        yield from (
            f"Tasks.{name} is missing"
            for name in missing
            if name in tasks.__abstractmethods__ or not hasattr(tasks, name)
        )
        yield from _unknown_kinds("Tasks", {*tasks.summarized_kinds, *tasks.parents}, spec)
    if "Sources" in found:
        yield from _unknown_kinds("Sources", found["Sources"].parent_kinds, spec)


def _unknown_kinds(owner: str, kinds: Iterable[str], spec: ServiceSpec) -> Iterator[str]:
    for kind in sorted(set(kinds) - spec.parent_names.keys()):
        yield f"{owner} names the parent kind {kind}, which parent_names of its spec lacks"
