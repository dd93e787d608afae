"""Runs the load generator, `load.c`, which is compiled on first use."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import OTHER_CORE, BenchError, run_load

SOURCE = Path(__file__).with_name("load.c")
CONNECTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run saw."""

    rate: float
    """Calls answered well, per second."""
    p50_ms: float
    p99_ms: float
    total: int
    """All calls that ended, also before and after the measured time."""
    refused: dict[str, int]
    """By status, in the measured time."""
    lost: int
    """Calls without an answer at the end."""
    cpu_seconds: float = float("nan")
    """CPU time of a peer without a server; NaN for others, whose server is another process."""

    @property
    def failed(self) -> int:
        """Return the number of calls that were refused or lost."""
        return sum(self.refused.values()) + self.lost


def build(directory: Path) -> Path:
    """Compile the load generator.

    Raises:
        BenchError: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BenchError("the load generator needs a C compiler: apt-get install gcc libc6-dev")
    binary = directory / "load"
    flags = ["-O2", "-Wall", "-D_GNU_SOURCE", "-o", str(binary)]
    subprocess.run([compiler, *flags, str(SOURCE)], check=True)  # noqa: S603  # made here
    return binary


@dataclass(frozen=True, slots=True)
class Generator:
    """The compiled generator, and how long each run is."""

    binary: Path
    warmup: float
    seconds: float

    def run(
        self, address: str, callers: int, requests: Path, path: str, *, http: bool = False
    ) -> Load:
        """Run the load generator against a server.

        Args:
            address: host and port.
            callers: how many call at once, each again as soon as it is answered.
            requests: see `workload`.
            path: the gRPC method.
            http: HTTP/1.1, not gRPC.

        Raises:
            BenchError: the server broke connections, or does not respond.
        """
        host, port = address.split(":")
        numbers = [callers, CONNECTIONS, self.warmup, self.seconds]
        command = [str(self.binary), host, port, path, *map(str, numbers), str(requests)]
        return read(run_load([*command, "http" if http else "grpc"], OTHER_CORE))


def read(output: bytes) -> Load:
    """Parse what `load.c` and the direct peer print."""
    report: dict[str, Any] = json.loads(output)
    return Load(
        rate=report["answered"] / report["seconds"],
        p50_ms=report["p50_ms"],
        p99_ms=report["p99_ms"],
        total=report["total"],
        refused=report["refused"],
        lost=report["lost"],
        cpu_seconds=report.get("cpu_seconds", float("nan")),
    )
