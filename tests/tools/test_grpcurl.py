"""grpcurl and buf read the contract from a running server, by reflection alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from tests.support.running_server import running_server, settings_for
from tests.tools.conftest import ENVIRONMENTS

GRPCURL = ENVIRONMENTS / "grpcurl/bin/grpcurl"
BUF = Path(sys.executable).with_name("buf")

needs_grpcurl = pytest.mark.skipif(  # Go builds it; with CI=true nothing is skipped
    not GRPCURL.exists() and os.environ.get("CI") != "true",
    reason="grpcurl is not here: `make test` builds it where Go is",
)


@pytest.fixture(scope="module")
def server_address() -> Iterator[str]:
    with Emulator() as aws, running_server(settings_for(aws.endpoint_url)) as address:
        yield str(address)


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_grpcurl
def test_grpcurl_lists_and_describes(server_address: str) -> None:
    grpcurl = (GRPCURL, "-plaintext", server_address)
    assert "taskgate.v1.TaskService\n" in run(*grpcurl, "list")
    described = run(*grpcurl, "describe", "taskgate.v1.TaskService.GetTask")
    assert "rpc GetTask ( .taskgate.v1.GetTaskRequest )" in described
    assert "\n// " in described, "the comment"
    assert "string name = 1 [" in run(*grpcurl, "describe", "taskgate.v1.Task.name")
    described = run(*grpcurl, "describe", "taskgate.omics.v1.OmicsService.GetRun")
    assert "rpc GetRun" in described


@needs_grpcurl
def test_grpcurl_calls(server_address: str) -> None:
    grpcurl = (GRPCURL, "-plaintext", server_address)
    listed = json.loads(run(*grpcurl, "grpc.health.v1.Health/List"))
    assert listed["statuses"][""] == {"status": "SERVING"}
    assert json.loads(run(*grpcurl, "taskgate.v1.TaskService/GetServerInfo"))["version"]


@pytest.mark.parametrize("version", ["grpc-v1", "grpc-v1alpha"])
def test_buf_lists_methods_by_either_version(server_address: str, version: str) -> None:
    protocol = ("--reflect-protocol", version, "--protocol", "grpc", "--http2-prior-knowledge")
    listed = run(BUF, "curl", *protocol, "--list-methods", f"http://{server_address}")
    assert "taskgate.v1.TaskService/GetTask\n" in listed
