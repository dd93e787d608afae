"""`make demo` and `make serve`: the demo, and its server kept running with calls to try."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.ports import free_port

pytestmark = pytest.mark.timed

ROOT = Path(__file__).parents[2]


def test_the_demo_ends_with_a_summary_of_a_job_and_a_run() -> None:
    # Not the flags of a `make` that runs the tests.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "demo"],
        cwd=ROOT,
        env={**environment, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "drained and exited with 0" in done.stdout
    _, _, picture = done.stdout.partition("The job and the run, watched for")
    job, run = re.split(r"^omics run \d+", picture, flags=re.MULTILINE)
    assert "deadline job job-" in job
    for part in (job, run):
        # There is a rate only where a task has settled while it was watched.
        assert re.search(r"^\d+ of \d+ settled, [\d.]+ per minute", part, re.MULTILINE)
        assert re.search(r"^SUCCEEDED +━", part, re.MULTILINE)
        assert "AWS polled" in part


def test_serve_prints_calls_that_work_and_stops_on_ctrl_c() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "taskgate_server.cli", "demo", "--keep-running"],
        env={
            **os.environ,
            "TASKGATE_LISTEN_PORT": str(port),
            "TASKGATE_HTTP_PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "get-run-task" in line:
                break
        console = re.search(r"^Open the console: (http://[\d.:]+/) ", "".join(lines), re.MULTILINE)
        assert console is not None
        with urlopen(console[1], timeout=10) as page:  # noqa: S310  # of this test's server
            assert b"<title>Taskgate</title>" in page.read()
        curls = re.findall(r"^((?:buf )?curl .*)$", "".join(lines), re.MULTILINE)
        assert len(curls) == 3
        for command in curls:
            binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            answer = subprocess.run(
                ["sh", "-c", command],
                env={**os.environ, "PATH": binaries},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert "taskId" in answer.stdout
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_demo_and_its_server(number: int) -> None:
    port = free_port()
    # A process inherits that SIGHUP is ignored, as in tests that nohup(1) has started.
    inherited = signal.signal(number, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-m", "taskgate_server.cli", "demo", "--keep-running"],
        env={
            **os.environ,
            "TASKGATE_LISTEN_PORT": str(port),
            "TASKGATE_HTTP_PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(number, inherited)
    try:
        assert process.stdout is not None
        assert "Taskgate listens on" in process.stdout.readline()
        process.send_signal(number)
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert '"message": "stopped"' in log
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", port)), "nothing listens any more"


@pytest.mark.parametrize("variable", ["TASKGATE_LISTEN_PORT", "TASKGATE_HTTP_PORT"])
def test_a_port_in_use_is_reported_at_once(variable: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = _serve({"TASKGATE_LISTEN_PORT": str(free_port()), variable: str(port)})
    assert done.returncode == 1
    assert f"port {port}: Address already in use; set {variable} to another port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["gRPC", "65536", "-1"])
def test_serve_refuses_what_is_no_port(port: str) -> None:
    done = _serve({"TASKGATE_LISTEN_PORT": port})
    assert done.returncode == 1
    assert f"TASKGATE_LISTEN_PORT must be the number of a port, not '{port}'" in done.stderr


def _serve(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taskgate_server.cli", "demo", "--keep-running"],
        env={**os.environ, "TASKGATE_HTTP_PORT": str(free_port()), **variables},
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
