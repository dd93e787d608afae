"""The base, the images and the pod: made once for all tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.image.engine import Engine, missing
from tests.deploy.image.pod import Pod
from tests.support.authority import LOOPBACK, Authority

FIGURES: list[str] = []
LACKING = missing()


@dataclass(frozen=True)
class Images:
    """Names of images."""

    base: str = "localhost/base:1"
    server: str = "localhost/taskgate:1"
    again: str = "localhost/taskgate:2"
    """The same, built a second time."""
    sandbox: str = "localhost/taskgate-sandbox:1"


@pytest.fixture(scope="session")
def figures() -> list[str]:
    """Lines about what was measured, printed in the end."""
    return FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in FIGURES:
        terminalreporter.write_line(line)
    if LACKING and terminalreporter.stats.get("skipped"):
        sys.stderr.write(f"the image is neither built nor run here, for want of {LACKING}\n")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Needs root and some Debian packages, which .ci/run installs."""
    if LACKING:
        # Images take root and programs of Debian.
        skip = pytest.fail if os.environ.get("CI") == "true" else pytest.skip  # CI has all of it
        skip(f"needs {LACKING}")
    made = Engine(tmp_path_factory.mktemp("engine"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    """Both images, and one of them twice, built side by side."""
    names = Images()
    engine.make_base(names.base)
    builds = [
        (names.server, ()),
        (names.again, ()),
        (names.sandbox, ("--build-arg", "PINS=requirements.txt")),
    ]
    with ThreadPoolExecutor() as threads:
        for done in [
            threads.submit(engine.build, tag, names.base, *arguments) for tag, arguments in builds
        ]:
            done.result()
    return names


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server on loopback, and good for a client, too."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority()
    authority.issue("taskgate", *LOOPBACK).write(folder)
    (folder / "ca.crt").write_bytes(authority.certificate)
    # The server's user is another. Kubernetes gives the files of a secret to the pod's group.
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.fixture(scope="session")
def pod(engine: Engine, images: Images, certificates: Path) -> Pod:
    """With a local AWS."""
    return Pod(engine, (images.server, images.sandbox), certificates)
