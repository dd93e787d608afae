"""What is in the image, and what is not."""

from __future__ import annotations

import filecmp
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.image.conftest import Images
from tests.deploy.image.engine import AUTHORITIES, ROOT, Engine

pytestmark = pytest.mark.image

LARGEST_MEGABYTES = 120.0
OURS = "opt/taskgate/"
UNCHECKED_HASH = 1
"""Of bytecode that is loaded without a look at its source: https://peps.python.org/pep-0552/"""
MOUNTED_OVER = {"etc/hostname", "etc/hosts", "etc/resolv.conf"}
"""Empty files that a build leaves as places to mount to."""
BUILD_TOOLS = re.compile(
    r"(^|/)(ensurepip|pip|pkg_resources|setuptools|wheel)(-[^/]*)?/|\.whl$"
    r"|bin/(pip|wheel|uv|as|cc|c\+\+|clang|cpp|gcc|g\+\+|ld|make)([-.]?[0-9.]*)$"
)


@dataclass(frozen=True)
class Files:
    """What is in the server's image and in its base, by path from the root."""

    base: Path
    image: Path
    base_has: set[str]
    image_has: set[str]


def paths(root: Path) -> set[str]:
    """Of all but folders."""
    return {
        os.path.relpath(os.path.join(folder, name), root)  # noqa: PTH118  # faster for 20,000
        for folder, _, names in os.walk(root)
        for name in names
    }


@pytest.fixture(scope="module")
def files(engine: Engine, images: Images) -> Iterator[Files]:
    with engine.mounted(images.base) as base, engine.mounted(images.server) as image:
        yield Files(base, image, paths(base), paths(image))


@pytest.fixture(scope="module")
def config(engine: Engine, images: Images) -> dict[str, Any]:
    config: dict[str, Any] = engine.inspect(images.server)["Config"]
    return config


def test_two_builds_have_the_same_digest(engine: Engine, images: Images) -> None:
    first, second = engine.inspect(images.server), engine.inspect(images.again)
    assert first["Digest"] == second["Digest"]
    assert first["Id"] == second["Id"]


def test_bytecode_does_not_depend_on_times(files: Files) -> None:
    """Bytecode with the time of its source differs from build to build, and is not loaded."""
    compiled = [path for path in files.image_has - files.base_has if path.endswith(".pyc")]
    assert len(compiled) > 1000
    assert [path for path in compiled if pyc_flags(files.image / path) != UNCHECKED_HASH] == []


def pyc_flags(path: Path) -> int:
    with path.open("rb") as file:
        return int.from_bytes(file.read(8)[4:], "little")


def test_the_images_are_small(engine: Engine, images: Images, figures: list[str]) -> None:
    base, server, sandbox = (
        engine.inspect(name)["Size"] / 1e6 for name in (images.base, images.server, images.sandbox)
    )
    figures.append(
        f"size above the base, which has {base:.0f} MB: {server - base:.1f} MB; "
        f"with the emulator {sandbox - base:.1f} MB"
    )
    assert server - base < LARGEST_MEGABYTES


def test_only_expected_files_are_added_to_the_base(files: Files) -> None:
    added = files.image_has - files.base_has
    assert {
        path
        for path in added - MOUNTED_OVER
        if not path.startswith(OURS) and "/__pycache__/" not in path
    } == set()
    assert any(path.startswith(OURS) for path in added)
    assert all((files.image / path).stat().st_size == 0 for path in MOUNTED_OVER & added)


def test_only_build_tools_are_removed_from_the_base(files: Files) -> None:
    taken = files.base_has - files.image_has
    assert {
        path for path in taken if not BUILD_TOOLS.search(path) and "wheels/" not in path
    } == set()
    assert any("ensurepip" in path for path in taken)


def test_other_files_of_the_base_are_unchanged(files: Files) -> None:
    both = sorted(
        path
        for path in files.base_has & files.image_has
        if (files.base / path).is_file() and not (files.base / path).is_symlink()
    )
    _, differing, failed = filecmp.cmpfiles(files.base, files.image, both, shallow=False)
    assert len(both) > 1000
    assert (differing, failed) == ([], [])


def test_the_image_has_no_build_tools(files: Files) -> None:
    assert {path for path in files.image_has if BUILD_TOOLS.search(path)} == set()
    assert any(BUILD_TOOLS.search(path) for path in files.base_has)


def test_the_image_has_no_temporary_files(files: Files) -> None:
    left = re.compile(r"^(src|tmp|var/tmp|root/\.)|/tests?/|/\.cache|\.(c|h|pyi|pyx)$")
    added = files.image_has - files.base_has
    assert {path for path in added if left.search(path)} == set()


def test_all_bytecode_has_its_source(files: Files) -> None:
    compiled = {path for path in files.image_has if path.endswith(".pyc")}
    sources = {
        re.sub(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$", r"\1.py", path) for path in compiled
    }
    assert len(compiled) > 500
    assert sources - files.image_has == set()


def test_packages_are_the_pinned_ones(files: Files) -> None:
    site = next((files.image / OURS).glob("lib/python3.*/site-packages"))
    installed = {
        (canonicalize_name(each.metadata["Name"]), each.version)
        for each in distributions(path=[str(site)])
    }
    lines = re.findall(
        r"^[a-z].*?(?=\s*\\?$)", (ROOT / "requirements-server.txt").read_text(), re.MULTILINE
    )
    pins = [Requirement(line) for line in lines]
    pinned = {
        (canonicalize_name(pin.name), str(pin.specifier).removeprefix("=="))
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert installed == pinned | {("taskgate", project["version"])}


def test_no_file_is_setuid_or_writable(files: Files) -> None:
    for path in files.image_has - files.base_has:
        status = (files.image / path).lstat()
        assert (status.st_uid, status.st_gid) == (0, 0), path
        if not stat.S_ISLNK(status.st_mode):
            assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH), path
            assert status.st_mode & stat.S_IROTH, path


def test_the_image_has_no_certificate_authority_of_the_build(files: Files) -> None:
    """What is like its base is of no concern here; nothing else may have this machine's bundle."""
    own = AUTHORITIES.read_bytes()
    sizes = {
        path: (files.image / path).lstat().st_size for path in files.image_has - files.base_has
    }
    assert [
        p for p, size in sizes.items() if size == len(own) and (files.image / p).read_bytes() == own
    ] == []
    certificates = {path for path in sizes if path.endswith((".crt", ".pem"))}
    site = re.compile(
        r"site-packages/(botocore/cacert|certifi/cacert|grpc/_cython/_credentials/roots)\.pem$"
    )
    assert {path for path in certificates if not site.search(path)} == set()


def test_labels_describe_the_image(config: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
        if name.startswith("org.opencontainers.image.")
    }
    assert labels.pop("source").startswith("https://")
    assert labels == {
        "title": project["name"],
        "description": project["description"],
        "version": project["version"],
        "licenses": project["license"],
        "revision": "unknown",
    }


def test_the_environment_has_only_expected_variables(config: dict[str, Any]) -> None:
    assert dict(each.split("=", 1) for each in config["Env"]) == {
        "PATH": "/opt/taskgate/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "TASKGATE_HEALTH_PORT": "50052",
        "TASKGATE_LISTEN_HOST": "0.0.0.0",  # noqa: S104  # the image's own default
    }


def test_the_entrypoint_runs_as_an_unprivileged_user(config: dict[str, Any]) -> None:
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["taskgate"]
    assert config["Cmd"] == ["serve"]
    assert set(config["ExposedPorts"]) == {"50051/tcp", "50052/tcp", "8080/tcp"}
