"""The AWS services that Taskgate serves: one for each folder in this package."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from taskgate_server import services
from taskgate_server.services.spec import ServiceSpec


def _load_specs() -> tuple[ServiceSpec, ...]:
    """Return the spec of each folder, in alphabetical order."""
    folders = sorted(each.name for each in iter_modules(services.__path__) if each.ispkg)
    return tuple(import_module(f"{services.__name__}.{name}.spec").SPEC for name in folders)


SERVICES: Final = _load_specs()
