"""Run the cases with clients of the last contract: `python -m conformance.skew`.

Each client is built in a copy of the tree that has the protos of the last contract.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from conformance import contracts
from conformance.__main__ import report, run_language
from conformance.cases import load_cases
from conformance.proto_source import source_of
from conformance.runners import CLIENTS, LANGUAGES, Language
from conformance.world import World
from hatch_build import compile_protos

ROOT = CLIENTS.parent
TREE = ROOT / "build/skew"
LINKED = (".venv", "third_party", "buf.yaml", "LICENSE", "clients/service-config.json")
NOT_COPIED = shutil.ignore_patterns("build", "dist", "gen", "target", "node_modules", "proto")
BUILT_IN = {
    "go": ("tools", "build"),
    "typescript": ("node_modules",),
    "java": ("build",),
}
"""Folders of a client that its build can reuse, if it is built: tools and libraries."""
COMMANDS = {
    "go": ("make", "gen", "build"),
    "typescript": ("make", "build"),
    "java": ("make", "build"),
    "rust": ("make", "build"),
}


def main() -> int:
    """Return the exit status: 1 if any case failed."""
    parser = argparse.ArgumentParser(prog="skew", description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE")
    selected = parser.parse_args().languages or [
        name for name, language in LANGUAGES.items() if language.is_available
    ]
    write_tree(TREE)
    cases = load_cases(skewed=False)
    outcomes = {}
    for name in dict.fromkeys("python" if each == "asyncio" else each for each in selected):
        build(TREE, name)
    with World() as world:
        for name in selected:
            outcomes[name] = run_language(of_last_contract(name), cases, world)
    return report(cases, outcomes)


def write_tree(tree: Path) -> None:
    """Write the protos of the last contract, and link what else the builds need.

    Raises:
        ValueError: the written protos differ from the last contract.
    """
    shutil.rmtree(tree / "protos", ignore_errors=True)
    (tree / "clients").mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        link = tree / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name)
    files = {file.name: file for file in contracts.last_files()}
    for name, file in files.items():
        path = tree / "protos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source_of(file))
    image = tree / "last.binpb"
    buf = str(Path(sys.executable).with_name("buf"))
    command = (buf, "build", "protos", "--exclude-source-info", "--output", str(image))
    subprocess.run(command, cwd=tree, check=True)
    built = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    for file in built.file:
        if file.name in files and _comparable(file) != _comparable(files[file.name]):
            raise ValueError(f"{file.name} differs from the last contract")


def _comparable(file: descriptor_pb2.FileDescriptorProto) -> bytes:
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(file)
    copy.DiscardUnknownFields()  # such as those of buf
    for message in copy.message_type:
        _put_in_order(message)
    for service in copy.service:
        for each in (service, *service.method):
            _clear_annotations(each)
    copy.options.ClearField("objc_class_prefix")  # there is no client in Objective-C
    _clear_annotations(copy)
    return bytes(copy.SerializeToString(deterministic=True))


def _put_in_order(message: descriptor_pb2.DescriptorProto) -> None:
    message.field.sort(key=lambda each: each.number)
    for field in message.field:
        field.ClearField("json_name")  # derived from the name; not every compiler sets it
        _clear_annotations(field)
    message.nested_type.sort(key=lambda each: each.name)
    _clear_annotations(message)
    for nested in message.nested_type:
        _put_in_order(nested)


def _clear_annotations(descriptor: Any) -> None:
    """Remove the options of google.api, which describe and change nothing in a client."""
    for extension, _ in descriptor.options.ListFields():
        if extension.is_extension:
            descriptor.options.ClearExtension(extension)
    if not descriptor.options.ListFields():
        descriptor.ClearField("options")


def build(tree: Path, name: str) -> None:
    """Build a client and its runner in the tree.

    Raises:
        subprocess.CalledProcessError: the build failed.
    """
    if name == "python":
        compile_protos(tree / "protos", tree / "gen/python")
        return
    source, copy = CLIENTS / name, tree / "clients" / name
    shutil.copytree(source, copy, ignore=NOT_COPIED, dirs_exist_ok=True)
    for folder in BUILT_IN.get(name, ()):
        if (source / folder).exists() and not (copy / folder).exists():
            shutil.copytree(source / folder, copy / folder, symlinks=True)
    subprocess.run(COMMANDS[name], cwd=copy, check=True, stdout=subprocess.DEVNULL)


def of_last_contract(name: str) -> Language:
    """Return how to start the runner of the last contract."""
    language = LANGUAGES[name]
    if name in ("python", "asyncio"):
        paths = (TREE / "gen/python", ROOT, CLIENTS, os.environ.get("PYTHONPATH", ""))
        path = os.pathsep.join(map(str, paths))
        return replace(language, command=("env", f"PYTHONPATH={path}", *language.command))
    return replace(language, folder=TREE / "clients" / name)


if __name__ == "__main__":
    sys.exit(main())
