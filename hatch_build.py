"""Build hook: compiles protos/ into gen/python, so that every install has the `taskgate` stubs.

Run by hatchling for wheels and editable installs, and by `make gen` as a script.
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
"""The contract as a FileDescriptorSet with its comments. Python's generated code has none."""


def compile_protos(protos: Path, output: Path) -> None:
    """Replaces `output` by the Python stubs of every file under `protos`.

    What those import of google.rpc has its stubs in the package googleapis-common-protos.

    Raises:
        RuntimeError: protoc refused a file; its own message is on stderr.
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
    """The path of a program of this environment, which need not be the active one."""
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    found = shutil.which(name, path=path)
    if found is None:
        raise RuntimeError(f"{name} is missing: install mypy-protobuf")
    return found


class CustomBuildHook(BuildHookInterface[Any]):
    """Makes the stubs before hatchling collects files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # hatchling's signature
        """Called by hatchling once for each target."""
        if self.target_name == "sdist":
            return
        compile_protos(ROOT / "protos", ROOT / "gen" / "python")


if __name__ == "__main__":
    compile_protos(ROOT / "protos", ROOT / "gen" / "python")
