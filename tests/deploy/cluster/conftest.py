"""The cluster, and who types commands: made once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.cluster.node import Node, running
from tests.deploy.cluster.shell import Shell
from tests.deploy.image.engine import ROOT

MADE = ROOT / "build/cluster"
"""Where `make cluster-test` has put Kubernetes and the images."""
FIGURES: list[str] = []


@pytest.fixture(scope="session")
def figures() -> list[str]:
    """Lines about what was measured, printed in the end."""
    return FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def node(figures: list[str]) -> Iterator[Node]:
    """A node that is ready; what its programs have written is kept below build/cluster/logs."""
    folder = Path(os.environ["CLUSTER_FOLDER"])
    began = time.monotonic()
    try:
        with running(MADE / "kubernetes/bin", folder, MADE / "images") as node:
            figures.append(f"the node is ready after {time.monotonic() - began:.1f} s")
            yield node
            node.remove_containers()
    finally:
        logs = MADE / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        for log in folder.glob("*.log"):
            shutil.copy(log, logs)


@pytest.fixture(scope="session")
def shell(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell that runs the commands of the docs."""
    return Shell(tmp_path_factory.mktemp("shell"), node.kubeconfig)
