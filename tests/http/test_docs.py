"""The commands of docs/http.md, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskgate_server.ports import Address

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/http.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
EXPECTED = {
    "TaskService/GetTask": '"state":"TASK_STATE_FAILED"',
    "OmicsService/GetRunTask": '"status":"TASK_STATUS_FAILED"',
    "OmicsService/GetRun": "trailer-taskgate-observe-time: ",
    "tasks/404": '"debug":',
    "WatchTasks": '"snapshot',
}
"""What a command has in it, and what it prints without spaces after colons. The last one counts."""


def expected(command: str) -> str:
    return [text for part, text in EXPECTED.items() if re.search(rf"{part}\b", command)][-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page(http: Address, command: str) -> None:
    if command.startswith("curl") and shutil.which("curl") is None:
        assert os.environ.get("CI") != "true", "`.ci/packages test` installs curl"
        pytest.skip("needs Debian's package curl")  # with CI=true nothing is
    run = command.replace("localhost:8080", str(http)).replace("curl ", "curl -sS ", 1)
    run = run.replace("buf curl -sS", f"{Path(sys.executable).with_name('buf')} curl")
    done = subprocess.run(
        ["sh", "-euc", run], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert expected(command) in done.stdout.replace('": ', '":')
