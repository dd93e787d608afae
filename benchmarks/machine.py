"""Processes of the benchmark: each kept on a core, measured by the kernel, ended always."""

from __future__ import annotations

import json
import os
import platform
import queue
import socket
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
MAX_LOAD_SECONDS = 60.0


class BenchError(Exception):
    """The benchmark cannot go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Process:
    """A server of the benchmark."""

    pid: int
    address: str

    @property
    def cpu_seconds(self) -> float:
        """Return the user and system time of all threads so far, in seconds.

        Raises:
            BenchError: the process has ended.
        """
        # clock_getcpuclockid(3) makes it so. /proc has ticks of 10 ms, a percent of a short round.
        clock = (~self.pid << 3) | 2
        try:
            return time.clock_gettime(clock)
        except OSError:
            raise BenchError(f"process {self.pid} has ended") from None

    def memory_kib(self, what: str) -> int:
        """Return the memory in KiB: `VmRSS` is the current value, `VmHWM` the peak."""
        return self._status(what)

    @property
    def threads(self) -> int:
        """Return the number of threads."""
        return self._status("Threads")

    def _status(self, what: str) -> int:
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
    upstream: str, log: Path, settings: Mapping[str, str] | None = None, checkout: Path = ROOT
) -> Iterator[Process]:
    """Run Taskgate with its defaults except for `settings`.

    Args:
        upstream: URL of both AWS services.
        log: file for the server's log.
        settings: environment variables.
        checkout: this checkout, or another one with an environment of its own in `.venv`.
    """
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-west-2",
        **{f"TASKGATE_AWS__{name}__ENDPOINT_URL": upstream for name in ("DEADLINE", "OMICS")},
        "TASKGATE_LISTEN_PORT": "0",
        **(settings or {}),
    }
    python = TASKGATE_PYTHON if checkout == ROOT else checkout / ".venv/bin/python"
    command = [*pinned(SERVER_CORE), str(python), "-m", "taskgate_server.cli", "serve"]
    with log.open("wb") as file:
        child = subprocess.Popen(command, cwd=checkout, env=environment, stderr=file)  # noqa: S603
        try:
            yield Process(child.pid, _wait_ready(child, log))
        finally:
            child.kill()
            child.wait()


def _wait_ready(child: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address from the log, once both AWS services are ready."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and child.poll() is None:
        entries = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        if sum(entry["message"] == "AWS service ready" for entry in entries) == 2:  # noqa: PLR2004  # both
            return next(str(each["address"]) for each in entries if each["message"] == "listening")
        time.sleep(0.05)
    raise BenchError(f"Taskgate did not start; its log:\n{log.read_text()}")


def run_load(command: list[str], core: int, environment: Mapping[str, str] | None = None) -> bytes:
    """Run a process that makes calls for a while; return what it prints.

    Raises:
        BenchError: it fails, or does not end.
    """
    try:
        done = subprocess.run(  # noqa: S603  # commands made here
            [*pinned(core), *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=MAX_LOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"the load did not end within {MAX_LOAD_SECONDS:g} s") from None
    if done.returncode:
        reason = done.stderr.decode().strip().rpartition("\n")[2]
        raise BenchError(reason or f"the load ended with status {done.returncode}")
    return done.stdout


def stub(*arguments: str) -> AbstractContextManager[Process]:
    """Run the upstream stub; its address is a URL."""
    command = [str(TASKGATE_PYTHON), "-m", "benchmarks.stub", *arguments]
    return process(command, OTHER_CORE)


@contextmanager
def peer(name: str, upstream: str, python: Path = TASKGATE_PYTHON) -> Iterator[Process]:
    """Run one of `benchmarks.peers` that is a server."""
    command = [str(python), "-m", f"benchmarks.peers.{name}", "--upstream", upstream]
    with process(command, SERVER_CORE, peer_environment()) as running:
        _wait_listening(running)
        yield running


def peer_environment() -> dict[str, str]:
    """Return the variables of a peer's process, whose environment lacks Taskgate's stubs."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "gen/python")}


def _wait_listening(process: Process) -> None:
    """Wait until a server accepts connections: (f) reports its port before Envoy listens."""
    host, port = process.address.rsplit(":", 1)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and Path(f"/proc/{process.pid}/exe").exists():
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BenchError(f"nothing listens on {process.address}")


def query_stub(url: str, what: str) -> dict[str, int]:
    """Query the stub's control path: `reset?latency_ms=30` or `counts`.

    Raises:
        BenchError: the stub does not answer.
    """
    try:
        with urllib.request.urlopen(f"{url}/_/{what}", timeout=10) as answer:  # noqa: S310  # it is ours
            counts: dict[str, int] = json.load(answer)
    except OSError as error:
        raise BenchError(f"the stub does not answer: {error}") from None
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


def take_core() -> None:
    """Keep this process off the server's core.

    Raises:
        BenchError: the machine has one core only.
    """
    if (os.cpu_count() or 1) < 2:  # noqa: PLR2004
        raise BenchError("two cores are needed: one for the server, one for the load")
    os.sched_setaffinity(0, {OTHER_CORE})
