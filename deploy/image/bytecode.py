"""Compile the modules that a server imports, because it cannot store bytecode on a read-only root.

Only imported modules are compiled; bytecode of all modules would enlarge the image by a tenth. This
includes the standard library, because Docker's Python images have no bytecode of it. The bytecode
is not compared with its source at run time, so timestamps do not matter.
"""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import trim

PACKAGES = ("taskgate", "taskgate_client", "taskgate_server")
LAZY = ("uvloop",)
"""Modules that they import only at run time."""
MOTO_MODULES = ("moto.moto_server", "moto.events", "moto.logs", "moto.sqs", "moto.sts")
EMULATOR = ("taskgate_emulator", "taskgate_server.demo", *MOTO_MODULES)
"""Compiled if the emulator is installed."""
LEFT_OUT = {
    "taskgate_emulator.pytest_plugin",  # needs pytest
    "taskgate_server.codegen",  # for development
    "taskgate_server.demo",
}


def load() -> None:
    """Import the modules of all commands."""
    packages: tuple[str, ...] = PACKAGES
    if find_spec("moto") is not None:
        packages += EMULATOR
    for name in (*LAZY, *packages):
        for module in (name, *_modules(name)):
            import_module(module)
    _make_clients()


def _modules(package: str) -> Iterator[str]:
    path = getattr(import_module(package), "__path__", ())
    for found in pkgutil.iter_modules(path, f"{package}."):
        if found.name in LEFT_OUT or found.name.endswith(".__main__"):
            continue
        yield found.name
        if found.ispkg:
            yield from _modules(found.name)


def _make_clients() -> None:
    """Create AWS clients, which imports much of boto3. Nothing is called."""
    session = import_module("boto3").Session(
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106  # there is no call to sign
        region_name="us-east-1",
    )
    for name in trim.CALLED + trim.CREDENTIALS:
        session.client(name)


def find_uncompiled() -> list[str]:
    """Return the sources of imported modules that have no bytecode."""
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    return sorted(
        spec.origin
        for spec in specs
        if spec is not None
        and spec.origin is not None
        and spec.cached is not None
        and spec.origin.endswith(".py")
        and spec is not trim.__spec__
        and not os.path.exists(spec.cached)  # noqa: PTH110  # a str, like all that a spec has
    )


def compile_all(sources: list[str]) -> None:
    """Compile the sources in a process without random hashes, so that builds are reproducible.

    That process must not write the bytecode of its own imports, which would depend on times.
    """
    subprocess.run(
        [
            sys.executable,
            "-B",
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            "-i",
            "-",
        ],
        input="\n".join(sources),
        env={"PYTHONHASHSEED": "0"},
        text=True,
        check=True,
    )


if __name__ == "__main__":
    load()
    compile_all(find_uncompiled())
