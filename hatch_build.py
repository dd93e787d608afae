"""Build hook that compiles protos/ to the `taskgate` stubs in gen/python.

hatchling runs it for wheels and editable installs, and `make gen` runs it as a script.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from importlib import resources
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent

DESCRIPTORS = "taskgate/descriptors.binpb"
"""The contract as a FileDescriptorSet with comments, which Python's generated code lacks."""


def compile_protos(protos: Path, output: Path) -> None:
    """Replace `output` with the Python stubs of every file in `protos`.

    The stubs of google.api and google.rpc are in the package googleapis-common-protos.

    Raises:
        RuntimeError: protoc failed and has written a message to stderr.
    """
    files = sorted(str(path) for path in protos.rglob("*.proto"))
    shutil.rmtree(output, ignore_errors=True)
    (output / DESCRIPTORS).parent.mkdir(parents=True)
    bundled = resources.files("grpc_tools") / "_proto"
    includes = [str(protos), str(ROOT / "third_party/googleapis"), str(bundled)]
    plugins = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    arguments = [
        "protoc",
        *(f"--plugin={name}={_program(name)}" for name in plugins),
        *(f"--proto_path={path}" for path in includes),
        *(f"--{kind}_out={output}" for kind in ("python", "grpc_python")),
        *(f"--{kind}_out=quiet:{output}" for kind in ("mypy", "mypy_grpc")),
        f"--descriptor_set_out={output / DESCRIPTORS}",
        "--include_imports",
        "--include_source_info",  # the comments, for reflection
        *files,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed, see above")
    for folder in (path for path in output.rglob("*") if path.is_dir()):
        (folder / "__init__.py").touch()
    (output / "taskgate" / "py.typed").touch()


def _program(name: str) -> str:
    """Return the path of a program of this environment, which may not be the active one."""
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    program = shutil.which(name, path=path)
    if program is None:
        raise RuntimeError(f"{name} is missing: install mypy-protobuf")
    return program


class CustomBuildHook(BuildHookInterface[Any]):
    """Generates the stubs before hatchling collects files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatchling's signature
        """Compile the protos, unless the target is the sdist."""
        if self.target_name == "sdist":
            return
        compile_protos(ROOT / "protos", ROOT / "gen" / "python")


if __name__ == "__main__":
    compile_protos(ROOT / "protos", ROOT / "gen" / "python")
