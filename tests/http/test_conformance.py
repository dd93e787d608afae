"""Connect's own conformance suite on the HTTP port: https://github.com/connectrpc/conformance."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timed

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-tools/conformance"
RUNNER = FOLDER / "connectconformance"
MIN_CASES = 1300


def test_every_case_passes() -> None:
    if not RUNNER.exists():
        assert os.environ.get("CI") != "true", "go is missing: no conformance suite"
        pytest.skip("needs Go, and make .venv-tools/conformance/stamp")  # with CI=true nothing is
    server = [sys.executable, "-m", "tests.http.conformance_server", str(FOLDER / "proto")]
    config = ["--mode", "server", "--conf", "tests/http/conformance.yaml"]
    load = ["--max-servers", "2", "--parallel", "4"]
    done = subprocess.run(
        [str(RUNNER), *config, *load, "--", *server],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    summary = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.MULTILINE)
    assert summary is not None, done.stdout + done.stderr
    passed, failed = map(int, summary.groups())
    assert (failed, done.returncode) == (0, 0), done.stdout
    assert passed >= MIN_CASES
