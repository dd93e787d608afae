"""AWS Batch, installed as docs/adding-a-service.md says, with its emulator and a server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from taskgate_client import Client, connect
from tests.support.server_process import ServerProcess, environment_without_settings

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "batch"
GUIDE = ROOT / "docs" / "adding-a-service.md"
TASKGATE = Path(sys.executable).with_name("taskgate")
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The installed plug-in, with a server and an emulator that have loaded it."""

    client: Client
    address: str
    environment: dict[str, str]
    """Of a process in which the plug-in is installed."""
    aws: Any
    """boto3's client for the emulated AWS Batch."""
    log: list[dict[str, Any]]
    """Lines of the server before it was ready."""

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs of the emulator's queue."""
        filters = [{"name": "AFTER_CREATED_AT", "values": ["0"]}]
        found: list[dict[str, Any]] = self.aws.list_jobs(jobQueue="simulation", filters=filters)[
            "jobSummaryList"
        ]
        return found

    def job(self, name: str) -> str:
        """Return the task name of the emulator's job with that name."""
        job_id = next(job["jobId"] for job in self.jobs() if job["jobName"] == name)
        return f"batch/queues/simulation/jobs/{job_id}"

    def submit(self, size: int | None = None) -> str:
        """Submit a job, or an array job; return its task name."""
        array = {} if size is None else {"arrayProperties": {"size": size}}
        job = self.aws.submit_job(
            jobName="submitted", jobQueue="simulation", jobDefinition="demo:1", **array
        )
        return f"batch/queues/simulation/jobs/{job['jobId']}"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the commands of the guide; return the environment in which the plug-in is installed."""
    folder = tmp_path_factory.mktemp("third") / "batch"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    site = folder / "site"
    environment = environment_without_settings() | CREDENTIALS
    environment |= {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        # Apart from this environment, and without an index: the dependencies are installed.
        "PIP_TARGET": str(site),
        **{f"PIP_NO_{name}": "1" for name in ("DEPS", "INDEX")},
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's spelling of true
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPATH": str(site),
    }
    for commands in COMMANDS.findall(GUIDE.read_text()):
        done = subprocess.run(
            ["sh", "-euc", commands],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return environment


@pytest.fixture(scope="module")
def batch(installed: dict[str, str]) -> Iterator[Batch]:
    """Run the emulator and a server that serves AWS Batch alone."""
    with subprocess.Popen(
        [str(TASKGATE), "emulate", "--port", "0"],
        env=installed,
        stdout=subprocess.PIPE,
        text=True,
    ) as emulator:
        assert emulator.stdout is not None
        found = re.search(r"http://\S+:\d+", emulator.stdout.readline())
        assert found is not None
        aws = boto3.client(
            "batch",
            endpoint_url=found[0],
            region_name="us-west-2",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        settings = {
            "TASKGATE_LISTEN_PORT": "0",
            "TASKGATE_SERVICES": json.dumps(["batch"]),
            "TASKGATE_AWS__BATCH__ENDPOINT_URL": found[0],
            "TASKGATE_AWS__BATCH__LOGS_ENDPOINT_URL": found[0],
        }
        server = ServerProcess([], installed | settings)
        try:
            listening, _ = server.line("listening")
            ready, _ = server.line("AWS service ready")
            with connect(listening["address"]) as client:
                yield Batch(
                    client=client,
                    address=listening["address"],
                    environment=installed,
                    aws=aws,
                    log=[listening, ready],
                )
        finally:
            server.process.kill()
            server.process.communicate()
            emulator.terminate()
