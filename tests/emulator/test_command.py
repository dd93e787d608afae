from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from taskgate_emulator import Emulator, command
from taskgate_emulator.seeds.ids import FARM_ID

pytest_plugins = ["pytester"]


def emulate(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "taskgate_server.cli", "emulate", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_list_has_each_operation_once(capsys: pytest.CaptureFixture[str], aws: Emulator) -> None:
    assert command.run(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = sorted(line.strip() for line in lines if line.startswith("  "))
    assert named == sorted(name for operations in aws.coverage.values() for name in operations)
    assert sum(line.startswith(("deadline ", "omics ")) for line in lines) == 6


def test_command_stops_on_sigterm_and_restores_its_state(tmp_path: Path) -> None:
    options = ("--state", str(tmp_path / "state"), "--seed", "empty", "--quotas", "aws")
    for expected in (0, 1):
        with emulate(*options) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            url = process.stdout.readline().split()[4].rstrip(":")
            session = boto3.Session("any", "any", region_name="us-west-2")
            config = Config(inject_host_prefix=False)
            deadline = session.client("deadline", endpoint_url=url, config=config)
            assert len(deadline.list_farms()["farms"]) == expected
            deadline.create_farm(displayName="Kept")
            deadline.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
            assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "nowhere"], "nowhere"),
        (["--quotas", "none.toml"], "none.toml"),
        (["--speed", "0"], "speed"),
        (["--faults", "none.yaml"], "none.yaml"),
    ],
)
def test_invalid_options_are_reported_on_stderr(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(["--port", "0", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("taskgate: ")
    assert message in error


def test_environment_makes_boto3_use_the_emulator(
    aws: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    client: Any = boto3.Session().client("deadline")
    assert [farm["farmId"] for farm in client.list_farms()["farms"]] == [FARM_ID]
    client.close()


def test_plugin_provides_an_emulator_per_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import boto3, pytest

        @pytest.mark.aws(seed="empty")
        def test_it(aws_environment, aws_clock):
            client = boto3.Session().client("deadline")
            assert client.list_farms()["farms"] == []
            client.close()
        """
    )
    result = pytester.runpytest_subprocess("-p", "taskgate_emulator.pytest_plugin")
    result.assert_outcomes(passed=1)
