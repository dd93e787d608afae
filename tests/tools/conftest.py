"""AWS's own programs, unchanged, led to an emulator by environment variables alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskgate_emulator import Emulator, ManualClock

ENVIRONMENTS = Path(__file__).parents[2] / ".venv-tools"

Program = Callable[..., str]
"""Takes the arguments of the program, and gives what it printed."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def aws(clock: ManualClock) -> Iterator[Emulator]:
    """An emulator of the test's own."""
    with Emulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def aws_cli(aws: Emulator, tmp_path: Path) -> Program:
    """The AWS CLI."""
    return program("awscli", "aws", aws, tmp_path)


@pytest.fixture
def healthomics_tools(aws: Emulator, tmp_path: Path) -> Program:
    """AWS's HealthOmics tools; the run analyzer is one of them."""
    return program("healthomics", "aws-healthomics-tools", aws, tmp_path)


@pytest.fixture
def quick_aws() -> Iterator[Emulator]:
    """An emulator on real time whose workers are quick."""
    with Emulator(speed=50) as aws:
        yield aws


@pytest.fixture
def deadline_command(quick_aws: Emulator, tmp_path: Path) -> Program:
    """The `deadline` command line, with `quick_aws`."""
    return program("deadline", "deadline", quick_aws, tmp_path)


def program(name: str, command: str, aws: Emulator, home: Path) -> Program:
    path = ENVIRONMENTS / name / "bin" / command
    # Nothing of this machine's own AWS configuration is seen.
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        "AWS_PAGER": "",
        "DEADLINE_CLOUD_TELEMETRY_OPT_OUT": "true",
        **aws.environment,
    }

    def run(*arguments: str, fails: bool = False) -> str:
        assert path.exists(), f"make .venv-tools/{name}/stamp installs {command}"
        done = subprocess.run(
            [path, *arguments],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run
