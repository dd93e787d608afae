"""Connect's own clients for JavaScript: connect-node and connect-web, with all their transports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from taskgate_server.ports import Address
from tests.support.demo_names import ABSENT, ENDED_RUN, RUNNING

FOLDER = Path(__file__).parents[2] / ".venv-tools/connect"
TRANSPORTS = 7
NOT_FOUND = 5


def test_every_transport_reads_fails_and_watches(http: Address) -> None:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").is_dir():
        assert os.environ.get("CI") != "true", "make .venv-tools/connect/stamp installs them"
        pytest.skip("needs node, and make .venv-tools/connect/stamp")  # with CI=true nothing is
    descriptors = str(files("taskgate") / "descriptors.binpb")
    done = subprocess.run(
        [node, "client.mjs", f"http://{http}", descriptors, RUNNING, ABSENT, ENDED_RUN],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == TRANSPORTS
    for outcome in outcomes:
        assert (outcome["name"], outcome["code"]) == (RUNNING, NOT_FOUND)
        assert outcome["details"] >= 2
        assert (outcome["events"][0], outcome["events"][-1]) == ("snapshotBegin", "watchEnd")
