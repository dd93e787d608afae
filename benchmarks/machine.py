"""Processes of the benchmark: each kept on a core, measured by the kernel, ended always."""

from __future__ import annotations

import json
import os
import platform
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
WEB_PYTHON = ROOT / ".venv-bench/web/bin/python"
AIO_PYTHON = ROOT / ".venv-bench/aio/bin/python"
TASKGATE_PYTHON = Path(sys.executable)

SERVER_CORE = 0
OTHER_CORE = 1
"""For the stub, the generator and this process, so that a server has a core alone."""

START_SECONDS = 20.0
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The benchmark cannot go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Process:
    """A server of the benchmark."""

    pid: int
    address: str

    @property
    def cpu_seconds(self) -> float:
        """Return the user and system time of all threads so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_kib(self, what: str) -> int:
        """Return the memory in KiB: `VmRSS` is the current value, `VmHWM` the peak."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(what)).split()[1])


def pinned(core: int) -> list[str]:
    """Return the prefix of a command that pins it to a core."""
    return ["taskset", "--cpu-list", str(core)]


@contextmanager
def process(
    command: list[str], core: int, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a peer or the stub, which print their address in one line once they listen."""
    child = subprocess.Popen(  # noqa: S603  # commands made here
        [*pinned(core), *command],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Process(child.pid, _first_line(child, command))
    finally:
        child.kill()
        child.communicate()


def _first_line(child: subprocess.Popen[str], command: list[str]) -> str:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert child.stdout is not None  # noqa: S101  # for mypy
    threading.Thread(target=lambda out=child.stdout: lines.put(out.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=START_SECONDS).strip()
    except queue.Empty:
        line = ""
    if not line:
        raise BenchError(f"this did not start: {' '.join(command)}")
    return line


@contextmanager
def taskgate(
    upstream: str, log: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run Taskgate with its defaults except for `settings`; its log goes to a file."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-west-2",
        **{f"TASKGATE_AWS__{name}__ENDPOINT_URL": upstream for name in ("DEADLINE", "OMICS")},
        "TASKGATE_LISTEN_PORT": "0",
        **(settings or {}),
    }
    command = [*pinned(SERVER_CORE), str(TASKGATE_PYTHON), "-m", "taskgate_server.cli", "serve"]
    with log.open("wb") as file:
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=file)  # noqa: S603
        try:
            yield Process(child.pid, _wait_ready(log))
        finally:
            child.kill()
            child.wait()


def _wait_ready(log: Path) -> str:
    """Return the address from the log, once both AWS services are ready."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        entries = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        if sum(entry["message"] == "AWS service ready" for entry in entries) == 2:  # noqa: PLR2004  # both
            return next(str(each["address"]) for each in entries if each["message"] == "listening")
        time.sleep(0.05)
    raise BenchError(f"Taskgate did not start; its log:\n{log.read_text()}")


def stub(*arguments: str) -> AbstractContextManager[Process]:
    """Run the upstream stub; its address is a URL."""
    command = [str(TASKGATE_PYTHON), "-m", "benchmarks.stub", *arguments]
    return process(command, OTHER_CORE)


def peer(
    name: str, upstream: str, python: Path = TASKGATE_PYTHON
) -> AbstractContextManager[Process]:
    """Run one of `benchmarks.peers`."""
    stubs = {"PYTHONPATH": str(ROOT / "gen/python")}  # the other environments lack the project
    command = [str(python), "-m", f"benchmarks.peers.{name}", "--upstream", upstream]
    return process(command, SERVER_CORE, stubs)


def query_stub(url: str, what: str) -> dict[str, int]:
    """Query the stub's control path: `reset?latency_ms=30` or `counts`."""
    with urllib.request.urlopen(f"{url}/_/{what}", timeout=10) as answer:  # noqa: S310  # it is ours
        counts: dict[str, int] = json.load(answer)
    return counts


def describe() -> dict[str, str]:
    """Describe this machine, and its load before the benchmark began."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{pages * size / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def check() -> None:
    """Raise an error if something that the measurement needs is missing.

    Raises:
        BenchError: something is missing, with how to get it.
    """
    if (os.cpu_count() or 1) < 2:  # noqa: PLR2004
        raise BenchError("two cores are needed: one for the server, one for the load")
    for python in (WEB_PYTHON, AIO_PYTHON):
        if not python.exists():
            raise BenchError(f"{python.relative_to(ROOT)} is missing; `make bench` sets it up")
