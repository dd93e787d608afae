"""The AWS services that Taskgate can serve: a folder in this package, or a plug-in.

A plug-in is a package like these folders. Its distribution declares it as an entry point:

    [project.entry-points."taskgate.services"]
    batch = "taskgate_batch"
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Final

from taskgate_server import services
from taskgate_server.services.spec import ServiceSpec

GROUP: Final = "taskgate.services"
"""The group of the entry points."""


def _load_specs() -> tuple[ServiceSpec, ...]:
    """Return the spec of each folder, then of each plug-in, in alphabetical order.

    Raises:
        ValueError: two of them have the same name.
    """
    folders = sorted(each.name for each in iter_modules(services.__path__) if each.ispkg)
    packages = [f"{services.__name__}.{name}" for name in folders]
    packages += sorted(each.value for each in entry_points(group=GROUP))
    specs: tuple[ServiceSpec, ...] = tuple(
        import_module(f"{package}.spec").SPEC for package in dict.fromkeys(packages)
    )
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise ValueError(f"several packages serve the same AWS service: {packages}")
    return specs


SERVICES: Final = _load_specs()


def select(names: Sequence[str] | None) -> tuple[ServiceSpec, ...]:
    """Return the services with these names, in the order of `SERVICES`; all if None."""
    return tuple(spec for spec in SERVICES if names is None or spec.name in names)
