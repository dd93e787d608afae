"""Servers that run as processes of their own: the command `taskgate serve`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate_emulator import Emulator
from tests.support.polling import wait_until

STOP_SECONDS = 20.0
COMMAND = (sys.executable, "-m", "taskgate_server.cli", "serve")


def environment_without_settings() -> dict[str, str]:
    """Return this process's environment without settings of a server or of coverage."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TASKGATE_", "COVERAGE_"))
    }
    return {**environment, "AWS_REGION": "us-west-2"}


def server_environment(aws: Emulator, **variables: str) -> dict[str, str]:
    """Return the environment of a server on an emulator, without quotas.

    Args:
        aws: The emulator.
        variables: Settings, in upper case and without `TASKGATE_`.
    """
    environment = environment_without_settings()
    for service in ("DEADLINE", "OMICS"):
        environment[f"TASKGATE_AWS__{service}__ENDPOINT_URL"] = aws.endpoint_url
        environment[f"TASKGATE_AWS__{service}__QUOTAS"] = "off"
    return environment | {f"TASKGATE_{name}": value for name, value in variables.items()}


class ServerProcess:
    """A server whose log is read from a pipe, line by line."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], env=environment, stderr=subprocess.PIPE, text=True
        )

    def line(self, message: str) -> tuple[dict[str, Any], float]:
        """Return the next log line with that message, and the seconds since the start."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            entry = json.loads(text)
            if entry["message"] == message:
                return entry, time.monotonic() - self.started
        raise AssertionError(f"the log has no {message!r}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running_process(
    aws: Emulator | None, *arguments: str, **variables: str
) -> Iterator[ServerProcess]:
    """Run a server on an emulator, on a port that the kernel chooses.

    Args:
        aws: The emulator; None if the server must not start anyway.
        arguments: Arguments of `taskgate serve`.
        variables: Additional environment variables, with their full names.
    """
    environment = environment_without_settings()
    environment["TASKGATE_LISTEN_PORT"] = "0"
    environment["TASKGATE_DEFAULT_MAX_AGE_SECONDS"] = "0"  # each call reaches the emulator
    if aws is not None:
        for service in ("DEADLINE", "OMICS"):
            environment[f"TASKGATE_AWS__{service}__ENDPOINT_URL"] = aws.endpoint_url
    server = ServerProcess(list(arguments), environment | variables)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


class LoggedServer:
    """A server whose log goes to a file, where all lines so far can be searched."""

    def __init__(self, log: Path, environment: Mapping[str, str], *arguments: str) -> None:
        self.log = log
        self._file: TextIO = log.open("w")
        self.process = subprocess.Popen([*COMMAND, *arguments], env=environment, stderr=self._file)

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Return the log's lines so far with that message."""
        complete = self.log.read_text().rpartition("\n")[0].splitlines()
        entries = [json.loads(line) for line in complete]
        return [entry for entry in entries if entry["message"] == message]

    def line(self, message: str, count: int = 1) -> dict[str, Any]:
        """Return the last line with that message, once there are `count` of them."""
        wait_until(lambda: len(self.lines(message)) >= count or self.process.poll() is not None)
        return self.lines(message)[-1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._file.close()


def is_serving(address: str) -> bool:
    """Return whether a server answers a health check with SERVING."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its types lack the methods
        try:
            response = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that all threads of a process have used, from the kernel."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123  # procfs
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
