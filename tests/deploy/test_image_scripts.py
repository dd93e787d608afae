"""What the Dockerfile and its scripts take for granted, of this project and of botocore."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import botocore
import pytest
import uvloop
from botocore.loaders import Loader
from packaging.requirements import Requirement

import trim

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_RUN = {"stub.py", "eventstream.py"}
"""Modules of botocore's whose examples make clients."""


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    found = [line.partition("==") for line in lines if re.match(r"[a-z]", line)]
    return {package: rest.split()[0] for package, _, rest in found}


def clients_made_by(source: str) -> Iterator[str]:
    """AWS services named in calls whose function has `client` in its name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and "client" in ast.unparse(node.func).rpartition(".")[2]:
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def test_models_that_botocore_needs_for_credentials_are_kept() -> None:
    known = set(Loader().list_available_services("service-2"))
    made = {
        name
        for path in Path(botocore.__file__).parent.glob("*.py")
        if path.name not in NOT_RUN
        for name in clients_made_by(path.read_text())
    }
    assert made & known == set(trim.CREDENTIALS)


def test_no_other_data_of_botocore_is_in_a_folder() -> None:
    data = Path(botocore.__file__).parent / "data"
    known = set(Loader().list_available_services("service-2"))
    assert {path.name for path in data.iterdir() if path.is_dir()} <= known


def test_a_stripped_library_can_be_loaded(tmp_path: Path) -> None:
    source = Path(uvloop.loop.__file__)
    shutil.copytree(source.parent, tmp_path / "uvloop")
    library = tmp_path / "uvloop" / source.name
    before = library.stat().st_size
    trim._strip(library)
    assert library.stat().st_size < before / 2
    trim._strip(library)
    code = "import uvloop; uvloop.run(__import__('asyncio').sleep(0)); print(uvloop.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path))


def test_other_files_are_not_stripped(tmp_path: Path) -> None:
    script = tmp_path / "libc.so"
    script.write_text("GROUP ( /lib/x86_64-linux-gnu/libc.so.6 )" * 3)
    before = script.read_bytes()
    trim._strip(script)
    assert script.read_bytes() == before


def test_the_label_has_the_version() -> None:
    version = PROJECT["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in DOCKERFILE


def test_the_health_check_calls_the_health_port() -> None:
    port = re.search(r"TASKGATE_HEALTH_PORT=(\d+)", DOCKERFILE)
    assert port is not None
    assert f'"--address", "127.0.0.1:{port[1]}"]' in DOCKERFILE
    assert re.search(rf"^EXPOSE 50051 {port[1]} 8080$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ("requirements-server.txt", "requirements.txt"),
        ("requirements-build.txt", "requirements-dev.txt"),
    ],
)
def test_the_image_has_the_tested_versions(part: str, whole: str) -> None:
    assert len(pins(part)) > 5
    assert pins(part).items() <= pins(whole).items()


def test_build_requirements_are_pinned() -> None:
    pinned = pins("requirements-build.txt")
    wanted = [Requirement(line) for line in PROJECT["build-system"]["requires"]]
    assert [each.name for each in wanted if pinned[each.name] not in each.specifier] == []


@pytest.mark.parametrize(
    "package", ["boto3", "cedarpy", "connectrpc", "opentelemetry-sdk", "uvloop"]
)
def test_the_server_has_all_of_its_extras(package: str) -> None:
    assert package in pins("requirements-server.txt")
    assert {"moto", "flask"} & pins("requirements-server.txt").keys() == set()
