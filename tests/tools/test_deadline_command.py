"""AWS's own `deadline` command line against the emulator."""

from __future__ import annotations

import json
import re
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from taskgate_emulator import Emulator
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
WITH_FILES = """
specificationVersion: jobtemplate-2023-09
name: With files
parameterDefinitions:
  - {name: Scene, type: PATH, objectType: FILE, dataFlow: IN, default: scene.usd}
  - {name: Frames, type: PATH, objectType: DIRECTORY, dataFlow: OUT, default: frames}
steps:
  - name: Render
    script: {actions: {onRun: {command: render, args: ["{{Param.Scene}}", "{{Param.Frames}}"]}}}
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


def test_job_attachments_are_uploaded_and_downloaded(
    quick_aws: Emulator, deadline_command: Program, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "template.yaml").write_text(WITH_FILES)
    (bundle / "scene.usd").write_text("a scene")
    profile = allow_storage_profile(quick_aws)

    run = deadline_command
    files = ("--storage-profile-id", profile, "--known-asset-path", str(bundle))
    submitted = run("bundle", "submit", *QUEUE, *files, "--yes", str(bundle))

    job = re.findall(r"job-[0-9a-f]{32}", submitted)[-1]
    ids = (*QUEUE, "--job-id", job)
    assert "manifests:" in run("job", "get", *ids)
    run("job", "wait", *ids)
    manifests, copies = tmp_path / "manifests", tmp_path / "copies"
    manifests.mkdir()
    run("manifest", "download", *ids, str(manifests))
    (manifest,) = [path for path in manifests.rglob("*") if path.is_file()]
    assert "scene.usd" in manifest.read_text()
    copies.mkdir()
    rules = tmp_path / "rules.json"
    rule = {"source_path_format": "posix", "source_path": str(bundle)}
    rules.write_text(json.dumps([{**rule, "destination_path": str(copies)}]))
    where = ("--s3-root-uri", "s3://northlight-jobs/deadline", "--path-mapping-rules", str(rules))
    run("attachment", "download", *QUEUE, "-m", str(manifest), *where)
    assert (copies / "scene.usd").read_text() == "a scene"
    # The simulated workers write no files, so that there is no output.
    assert run("job", "download-output", *ids, "--yes")


def allow_storage_profile(aws: Emulator) -> str:
    """Create a storage profile that the queue allows; return its id."""
    deadline = boto3.client(
        "deadline",
        endpoint_url=aws.endpoint_url,
        region_name="us-west-2",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(inject_host_prefix=False),
    )
    ids = {"farmId": FARM_ID, "queueId": QUEUE_ID}
    profile = deadline.create_storage_profile(
        farmId=FARM_ID, displayName="Linux", osFamily="LINUX", fileSystemLocations=[]
    )["storageProfileId"]
    deadline.update_queue(**ids, allowedStorageProfileIdsToAdd=[profile])
    return str(profile)
