"""Rules of the code base that no linter has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_MODULE = 500
SOURCES = [
    path
    for folder in ("server", "emulator", "clients/python", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "base", "manager", "misc"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_short_and_have_specific_names(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_MODULE
    assert path.stem not in FORBIDDEN_NAMES


def imported_by(statement: str) -> set[str]:
    """The modules loaded in a fresh interpreter after the statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


SERVER_ONLY = {
    "boto3",
    "botocore",
    "pydantic",
    "aiohttp",
    "regex",
}


def test_the_client_and_its_command_need_the_base_install_only() -> None:
    modules = [
        f"taskgate_client.commands.{path.stem}"
        for path in (ROOT / "clients/python/taskgate_client/commands").glob("*.py")
    ]
    assert not imported_by(f"import {', '.join(modules)}") & SERVER_ONLY


def test_help_imports_no_heavy_modules() -> None:
    heavy = {"grpc", "google.protobuf", "rich", "shtab", "boto3", "taskgate.v1.task_pb2"}
    loaded = imported_by(
        "from taskgate_client.commands import main\nmain.build_parser().format_help()"
    )
    assert not loaded & (SERVER_ONLY | heavy)


def test_the_server_listens_before_it_loads_the_sdk() -> None:
    assert not imported_by("from taskgate_server import app") & {"boto3", "botocore.model"}
