"""Runs buf on a proto file at the path of its package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.codegen.toy import SPEC

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")


class Module:
    """A folder with the root's buf.yaml and the toy's contract."""

    def __init__(self, folder: Path, proto: str) -> None:
        self.folder = folder
        path = folder / "protos" / "taskgate" / SPEC.name / "v1" / f"{SPEC.name}.proto"
        path.parent.mkdir(parents=True)
        path.write_text(proto)
        generated = "protos/taskgate/omics"  # to which some rules do not apply
        rules = (ROOT / "buf.yaml").read_text()
        toy = f"{generated}, protos/taskgate/{SPEC.name}]"
        (folder / "buf.yaml").write_text(rules.replace(f"{generated}]", toy))
        shutil.copytree(ROOT / "third_party", folder / "third_party")

    def run(self, *arguments: str) -> str:
        """What buf has to say; nothing when all is well."""
        command = [str(BUF), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=30, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0 or said, command
        return said

    def image(self) -> bytes:
        """The descriptors, with those that are imported."""
        assert self.run("build", "--output", "image.binpb") == ""
        return (self.folder / "image.binpb").read_bytes()
