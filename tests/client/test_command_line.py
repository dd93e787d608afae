"""The command line as a whole: usage, Ctrl-C, closed pipes, completion."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.client.conftest import Run
from tests.support.fake_service import (
    RUN,
    FakeTaskService,
    Silence,
    page,
    snapshot,
    task,
)

NAME = f"{RUN}/tasks/1"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["get"],
        ["logs", NAME, "--tail", "0"],
        ["logs", NAME, "--since", "yesterday"],
        ["list", RUN, "--max-age", "10 m"],
        ["completion", "csh"],
    ],
)
def test_invalid_arguments_exit_with_2(run: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["wait", NAME, "--state", "HAPPY"],
        ["cancel"],
        ["cancel", NAME, "--parent", RUN],
        ["retry", NAME, "--filter", "state = FAILED"],
    ],
)
def test_contradicting_arguments_exit_with_2(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(*arguments) == 2
    assert capsys.readouterr().err.startswith(f"taskgate {arguments[0]}: ")


def test_ctrl_c_ends_the_call_and_exits_with_130(address: str, fake: FakeTaskService) -> None:
    fake.script("WatchTasks", [*snapshot(task(1)), Silence()])
    command = [sys.executable, "-m", "taskgate_client", "watch", RUN, "--address", address]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "snapshot of 1 tasks" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert fake.cancelled.wait(10)


def test_a_closed_pipe_exits_with_141(address: str, fake: FakeTaskService) -> None:
    fake.script("ListTasks", page(*(task(number) for number in range(10_000))))
    command = f"{sys.executable} -m taskgate_client list {RUN} -q --address {address}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"{RUN}/tasks/0\n141\n"
    assert not done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_have_all_commands(
    run: Run, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    for text in ("taskgate", "watch", "until-settled", "emulate"):
        assert text in script


def test_bash_completes_an_option(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("completion", "bash")
    script = capsys.readouterr().out
    check = """
COMP_WORDS=(taskgate watch --until); COMP_CWORD=2
"$(complete -p taskgate | sed 's/.*-F \\([^ ]*\\) .*/\\1/')" taskgate --until watch
echo "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-c", script + check], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "--until-settled"


def test_summary_offers_only_parents_that_the_server_counts(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    offered = {}
    for command in ("list", "summary"):
        with pytest.raises(SystemExit):
            run(command, "--help")
        offered[command] = "queue" in capsys.readouterr().out
    assert offered == {"list": True, "summary": False}
