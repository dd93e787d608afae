"""The `taskgate` command, as a shell sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from taskgate_emulator import seed

TASK = f"omics/runs/{seed.RUN_ID}/tasks/{seed.FAILED_RUN_TASK_ID}"
MISSING = """
import sys
sys.modules[{!r}] = None
from taskgate_server.cli import main
sys.exit(main({!r}))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "taskgate_server.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_get_shows_a_task(server_address: str) -> None:
    done = run("get", TASK, "--address", server_address)
    assert done.returncode == 0
    assert "FAILED" in done.stdout
    assert TASK in done.stdout


def test_get_as_json_is_the_whole_task(server_address: str) -> None:
    done = run("get", TASK, "--json", "--address", server_address)
    task = json.loads(done.stdout)
    assert task["name"] == TASK
    assert task["omics"]["imageDetails"]


def test_get_tells_an_error_on_stderr(server_address: str) -> None:
    done = run("get", "omics/runs/1", "--address", server_address)
    assert done.returncode == 1
    assert "INVALID_ARGUMENT" in done.stderr
    assert not done.stdout


def test_health(server_address: str) -> None:
    assert run("health", "--address", server_address).stdout == "SERVING\n"
    named = run("health", "--service", "taskgate.v1.TaskService", "--address", server_address)
    assert named.returncode == 0
    stranger = run("health", "--service", "nobody", "--address", server_address)
    assert stranger.returncode == 1
    assert "NOT_FOUND" in stranger.stderr


def test_health_of_nothing() -> None:
    done = run("health", "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr


def test_version() -> None:
    assert run("--version").stdout == f"taskgate {version('taskgate')}\n"


@pytest.mark.parametrize(
    ("command", "module", "extras"),
    [
        ("serve", "pydantic_settings", "server"),
        ("emulate", "aiohttp", "emulator"),
        ("demo", "aiohttp", "server,emulator"),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(
    command: str, module: str, extras: str
) -> None:
    code = MISSING.format(module, [command])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert f"pip install 'taskgate[{extras}]'" in done.stderr
    assert "Traceback" not in done.stderr
