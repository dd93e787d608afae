"""Update boto3 and botocore to a version, with all that is generated from them, or nothing.

usage: python .ci/model_update.py VERSION, called by `make model-update`

The files are generated and checked in a copy of the tree, with botocore in a folder of its own, and
moved in place at the end. If a step fails, the tree is as it was.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

ROOT: Final = Path(__file__).parents[1]

OUTPUTS: Final = (
    "pyproject.toml",
    "requirements*.txt",
    "protos/taskgate/**/*",
    "deploy/**/*",
    "clients/service-config.json",
    "clients/go/service-config.json",
    "clients/go/gen/**/*",
)
"""What an update may change."""

PACKAGES: Final = ("boto3", "botocore", "s3transfer")
"""What an update installs; everything else keeps its version."""

LINKED: Final = (".venv", ".venv-tools", "clients/go/build")
"""Tools that the copy uses."""

Run: TypeAlias = Callable[[Sequence[str], Path, Mapping[str, str]], str]
"""Runs a command in a folder with variables, and returns its output.

Raises:
    subprocess.CalledProcessError: it failed, and has written the reason to stderr.
"""


def main() -> int:
    """Return the exit status: 1 if nothing was changed because a step failed."""
    if len(sys.argv) != 2 or not re.fullmatch(r"\d+(\.\d+)+", sys.argv[1]):  # noqa: PLR2004  # one argument
        print("usage: make model-update VERSION=1.44.6", file=sys.stderr)
        return 2
    stage = ROOT / "build/model-update"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        changed = update(ROOT, stage, sys.argv[1], run)
    except subprocess.CalledProcessError as error:
        print(f"model-update: this failed: {' '.join(error.cmd)}", file=sys.stderr)
        print("model-update: nothing was changed", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    print(f"model-update: {len(changed)} files changed", *changed, sep="\n  ")
    return 0


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a command; see `Run`."""
    environment = {**os.environ, **variables}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def update(root: Path, stage: Path, version: str, run: Run) -> list[str]:
    """Update a tree, and return the paths that changed.

    Args:
        root: the tree.
        stage: a folder for the copy, which does not exist.
        version: of boto3 and botocore.
        run: runs the steps.

    Raises:
        subprocess.CalledProcessError: a step failed, and nothing was changed.
    """
    tree, packages = stage / "tree", stage / "packages"
    copy_tree(root, tree, run(["git", "ls-files", "-z"], root, {}))
    pyproject = tree / "pyproject.toml"
    pyproject.write_text(with_version(pyproject.read_text(), version))
    run(["make", "-s", "-o", ".venv/stamp", "model-pins", f"VERSION={version}"], tree, {})
    pins = stage / "pins.txt"
    pins.write_text(pins_of((tree / "requirements.txt").read_text(), PACKAGES))
    target = ["--target", str(packages), "--no-deps", "--require-hashes", "-r", str(pins)]
    run([".venv/bin/uv", "pip", "install", "-q", "-p", ".venv/bin/python", *target], tree, {})
    # Before the installed packages and this project's editable install.
    folders = ("server", "emulator", "clients", "clients/python", "gen/python", "deploy/image", "")
    path = os.pathsep.join([str(packages), *(str(tree / folder) for folder in folders)])
    generate(tree, {"PYTHONPATH": path}, run)
    check(tree, {"PYTHONPATH": path}, run)
    return move(tree, root)


def generate(tree: Path, variables: Mapping[str, str], run: Run) -> None:
    """Generate everything that depends on AWS's models, and print the report."""
    python = ".venv/bin/python"
    print(run([python, "-m", "taskgate_server.codegen", "--update"], tree, variables), end="")
    run([python, "hatch_build.py"], tree, variables)
    run([python, "-m", "deploy.generate"], tree, variables)
    config = run([python, "-m", "taskgate_client.service_config"], tree, variables)
    (tree / "clients/service-config.json").write_text(config)
    if shutil.which("go"):
        run(["make", "-s", "-C", "clients/go", "gen"], tree, variables)
    else:
        print("left out: clients/go/gen, since go is not installed", file=sys.stderr)


def check(tree: Path, variables: Mapping[str, str], run: Run) -> None:
    """Check what was generated: compatibility, form, and that it can be loaded."""
    python, buf = ".venv/bin/python", ".venv/bin/buf"
    run([buf, "breaking", "protos", "--against", "protos/baseline/contract.binpb.gz"], tree, {})
    run([buf, "lint"], tree, {})
    run([buf, "format", "--diff", "--exit-code"], tree, {})
    run([python, "-m", "taskgate_server.codegen", "--check"], tree, variables)
    protos = sorted((tree / "protos/taskgate").rglob("*.proto"))
    names = [".".join(path.relative_to(tree / "protos").with_suffix("").parts) for path in protos]
    imports = "; ".join(f"import {name}_pb2_grpc" for name in names)
    run([python, "-c", imports], tree, variables)


def copy_tree(root: Path, tree: Path, names: str) -> None:
    """Copy files, given their names as git lists them, and link the tools."""
    for name in filter(None, names.split("\0")):
        source, target = root / name, tree / name
        if source.is_file():  # not one that is deleted, but not committed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    for name in LINKED:
        (root / name).mkdir(parents=True, exist_ok=True)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(root / name)


def with_version(pyproject: str, version: str) -> str:
    """Return the project's file with another minimum of boto3 and botocore."""
    return re.sub(r'"(boto3|botocore)>=[0-9.]+"', rf'"\1>={version}"', pyproject)


def pins_of(requirements: str, packages: Sequence[str]) -> str:
    """Return the requirements of some packages, with their hashes."""
    blocks = re.findall(r"^\S.*(?:\n[ \t].*)*", requirements, re.MULTILINE)
    return "\n".join(block for block in blocks if block.partition("==")[0] in packages) + "\n"


def move(tree: Path, root: Path) -> list[str]:
    """Put the changed outputs in place of those in the root, and return their paths.

    All are written beside their targets first, and then renamed. If one fails, those that were
    renamed get their old content back.
    """
    contents = {
        name: (tree / name).read_bytes() if (tree / name).exists() else None
        for name in sorted(outputs(tree) | outputs(root))
    }
    before = {
        name: (root / name).read_bytes() if (root / name).exists() else None for name in contents
    }
    changed = [name for name, content in contents.items() if content != before[name]]
    staged = {name: _beside(root / name) for name in changed}
    done: list[str] = []
    try:
        for name in changed:
            staged[name].parent.mkdir(parents=True, exist_ok=True)
            staged[name].write_bytes(contents[name] or b"")
        for name in changed:
            done.append(name)
            _replace(root / name, staged[name], is_present=contents[name] is not None)
    except BaseException:
        for name in done:
            _restore(root / name, before[name])
        raise
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)
    return changed


def outputs(root: Path) -> set[str]:
    """Return the paths of the files that an update may change."""
    return {
        str(path.relative_to(root))
        for pattern in OUTPUTS
        for path in root.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _replace(path: Path, staged: Path, *, is_present: bool) -> None:
    if is_present:
        if path.exists():
            shutil.copymode(path, staged)
        staged.replace(path)
    else:
        path.unlink()


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
