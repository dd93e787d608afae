"""AWS's own `deadline` command line against the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskgate_emulator.seeds.ids import FARM_ID, QUEUE_ID
from tests.tools.conftest import Program

pytestmark = pytest.mark.long

BUNDLE = """
specificationVersion: jobtemplate-2023-09
name: Bundle
steps:
  - name: Render
    parameterSpace: {taskParameterDefinitions: [{name: F, type: INT, range: "1-3"}]}
    script: {actions: {onRun: {command: render}}}
"""
QUEUE = ("--farm-id", FARM_ID, "--queue-id", QUEUE_ID)


def test_job_bundle_is_submitted_awaited_read_and_requeued(
    deadline_command: Program, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "template.yaml").write_text(BUNDLE)

    run = deadline_command
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
