"""AWS's own `deadline` command line, unchanged, led here by environment variables alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from taskgate_emulator.seed import FARM_ID, QUEUE_ID

BUNDLE = """
specificationVersion: jobtemplate-2023-09
name: Bundle
steps:
  - name: Render
    parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: "1-3"}]}
    script: {actions: {onRun: {command: render}}}
"""
QUEUE = ("--farm-id", FARM_ID, "--queue-id", QUEUE_ID)

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs the command against an emulator whose workers are quick."""
    command = Path(sys.executable).with_name("deadline")
    with Emulator(speed=50) as aws:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "DEADLINE_CONFIG_FILE_PATH": str(tmp_path / "config"),
            "DEADLINE_CLOUD_TELEMETRY_OPT_OUT": "true",
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-west-2",
        }

        def call(*arguments: str) -> str:
            done = subprocess.run(
                [command, *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield call


def test_job_bundle_is_submitted_awaited_read_and_requeued(run: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "template.yaml").write_text(BUNDLE)

    submitted = run("bundle", "submit", *QUEUE, "--yes", str(bundle))

    job = re.findall(r"job-[0-9a-f]{32}", submitted)[-1]
    ids = (*QUEUE, "--job-id", job)
    run("job", "wait", *ids)
    assert "taskRunStatus: SUCCEEDED" in run("job", "get", *ids)
    assert "Process exited with code 0" in run("job", "logs", *ids)
    assert job in run("job", "list", *QUEUE)
    requeued = run("job", "requeue-tasks", *ids, "--run-status", "SUCCEEDED", "--yes")
    assert "Requeued a total of 3 tasks" in requeued
    assert "Canceling job" in run("job", "cancel", *ids, "--yes")
