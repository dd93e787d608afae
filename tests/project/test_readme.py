"""The README's commands and examples, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from tests.support.running_server import running_server, settings_for

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", README, re.DOTALL)
ADDRESS = "127.0.0.1:50051"

FIND = {
    "client.watch_tasks(": "snapshot: 1 tasks",
    "client.get_task(": "DeepVariant FAILED SERVICE_ERROR",
    "make contract-bundle": "taskgate-contract-0.1.0.tar.gz",
    "TaskService/GetTask": '"state": "TASK_STATE_FAILED"',
    "OmicsService/GetRunTask": '"status": "TASK_STATUS_FAILED"',
    "taskgate get": "DeepVariant",
}
"""What a block has in it, and what running it must print."""

RUN_OTHERWISE = {
    "make test": "this test is a part of it",
    "make demo": "test_demo.py has it",
    "make serve": "test_demo.py has it, and the fixtures here are the same server",
    "helm install": "it needs a cluster; tests/deploy/chart/test_sandbox.py runs its pod",
    "pip install '.[server]'": "it needs AWS; test_process.py starts the same command",
}


def blocks() -> list[tuple[str, str, str]]:
    found = []
    for language, text in BLOCKS:
        keys = [key for key in (*FIND, *RUN_OTHERWISE) if key in text]
        assert len(keys) == 1, f"no test runs this block of the README:\n{text}"
        if keys[0] in FIND:
            found.append((language, text, FIND[keys[0]]))
    return found


@pytest.fixture(scope="module")
def server_address() -> Iterator[str]:
    """Yield the address of a server on an AWS whose demo data no other test has changed."""
    with Emulator() as aws, running_server(settings_for(aws.endpoint_url)) as address:
        yield str(address)


@pytest.mark.parametrize(("language", "text", "expected"), blocks())
def test_a_block_of_the_readme(
    server_address: str, language: str, text: str, expected: str
) -> None:
    text = text.replace(ADDRESS, server_address).replace(
        ".venv/bin/", f"{Path(sys.executable).parent}/"
    )
    command = [sys.executable, "-c", text] if language == "python" else ["sh", "-euc", text]
    environment = {**os.environ, "TASKGATE_ADDRESS": server_address, "COLUMNS": "100"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
