"""The server as a process: how fast it starts, what it logs, how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2
from taskgate_client import CallError, DeadlineTaskName, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed

LISTENING_SECONDS = 0.5
SERVING_SECONDS = 1.5
STARTS = 20
SECRET_PATH = "/mnt/shots/secret"


class Process:
    """A `taskgate serve` of this environment, and the lines of its log."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskgate_server.cli", "serve", *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, message: str) -> tuple[dict[str, Any], float]:
        """The next log line with that message, and the seconds since the start."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            entry = json.loads(text)
            if entry["message"] == message:
                return entry, time.monotonic() - self.started
        raise AssertionError(f"the log has no {message!r}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def serving(aws: Emulator | None, *arguments: str, **variables: str) -> Iterator[Process]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TASKGATE_", "COVERAGE_"))
    }
    environment |= {"AWS_REGION": "us-west-2", "TASKGATE_LISTEN_PORT": "0"}
    environment["TASKGATE_DEFAULT_MAX_AGE_SECONDS"] = "0"  # each call is to reach the emulator
    if aws is not None:
        for service in ("DEADLINE", "OMICS"):
            environment[f"TASKGATE_AWS__{service}__ENDPOINT_URL"] = aws.endpoint_url
    made = Process(list(arguments), environment | variables)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def cpu_seconds(pid: int) -> float:
    """What the process has used of the processor, in all its threads, from the kernel."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123  # procfs
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_listens_and_serves_soon_after_the_start(aws: Emulator) -> None:
    # Wall clock on a machine with nothing else to do. On a busy one the server waits for its turn,
    # which is none of its doing, so there the processor's time counts. The best of some starts.
    listening, ready = [], []
    for _ in range(STARTS):
        with serving(aws) as server:
            seconds = server.line("listening")[1]
            listening.append(min(seconds, cpu_seconds(server.process.pid)))
            server.line("AWS service ready")
            seconds = server.line("AWS service ready")[1]
            ready.append(min(seconds, cpu_seconds(server.process.pid)))
        if min(listening) < LISTENING_SECONDS and min(ready) < SERVING_SECONDS:
            return
    raise AssertionError(f"listening: {listening}, serving: {ready}")


def test_each_call_is_one_line_without_any_value(aws: Emulator) -> None:
    body = {"taskId": "1", "parameters": {"Out": {"path": SECRET_PATH}}}
    name = DeadlineTaskName(
        seed.FARM_ID,
        seed.QUEUE_ID,
        seed.JOB_ID,
        seed.RENDER_STEP_ID,
        seed.FAILED_TASK_ID,
    )
    with serving(aws, TASKGATE_LOG_LEVEL="DEBUG") as server:
        with connect(server.line("listening")[0]["address"]) as client:
            aws.respond("deadline", "GetTask", body=body)
            assert client.get_task(name).parameters["Out"].path == SECRET_PATH
            bad = deadline_pb2.CreateJobRequest(farm_id=SECRET_PATH, template=SECRET_PATH)
            with pytest.raises(grpc.RpcError):
                client.deadline.CreateJob(bad)
            odd = {"parameters": {"Out": {"path": [SECRET_PATH]}}}
            aws.respond("deadline", "GetTask", body=odd)
            assert client.get_task(name).parameters["Out"].path == json.dumps([SECRET_PATH])
            aws.respond("deadline", "GetTask", body=json.dumps([SECRET_PATH]).encode())
            with pytest.raises(CallError):
                client.get_task(name)
        server.process.terminate()
        assert server.process.stderr is not None
        log = server.process.stderr.read()
    assert SECRET_PATH not in log
    calls = [line for line in map(json.loads, log.splitlines()) if line["message"] == "call"]
    assert [(line["method"], line["code"]) for line in calls] == [
        ("taskgate.v1.TaskService/GetTask", "OK"),
        ("taskgate.deadline.v1.DeadlineService/CreateJob", "INVALID_ARGUMENT"),
        ("taskgate.v1.TaskService/GetTask", "OK"),
        ("taskgate.v1.TaskService/GetTask", "UNKNOWN"),
    ]
    first = calls[0]
    assert set(first) == {
        *("time", "level", "logger", "message"),
        *("method", "code", "duration_ms", "call_id", "aws_request_id"),
    }
    assert first["aws_request_id"]
    assert first["duration_ms"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(aws: Emulator, number: int) -> None:
    with serving(aws) as server:
        server.line("AWS service ready")
        assert server.stop(number) == 0
        assert server.line("stopped")[0]["cut"] == 0


def test_a_bad_setting_stops_the_start_with_a_line_for_each_fault(tmp_path: Path) -> None:
    file = tmp_path / "taskgate.toml"
    file.write_text('listen_port = "soon"\n[aws.deadline]\nregion = "the moon"\nregoin = "x"\n')
    variables = {"TASKGATE_DRAIN_SECONDS": "-1"}
    with serving(None, "--config", str(file), **variables) as server:
        del variables
        _, stderr = server.process.communicate(timeout=20)
        assert server.process.returncode == 1
    faults = [line.partition(": ")[2] for line in stderr.splitlines()]
    assert [fault.partition(" (")[0] for fault in faults] == [
        "aws.deadline.region",
        "aws.deadline.regoin",
        "drain_seconds",
    ]


def test_an_unknown_aws_service_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "taskgate.toml"
    file.write_text('[aws.omix]\nregion = "us-west-2"\n')
    with serving(None, "--config", str(file)) as server:
        _, stderr = server.process.communicate(timeout=20)
        assert server.process.returncode == 1
    assert "aws.omix: no such AWS service; there are deadline, omics" in stderr


def test_the_file_is_read_and_the_environment_wins(aws: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "taskgate.toml"
    file.write_text('[aws.deadline]\nregion = "eu-west-1"\n[aws.omics]\nregion = "eu-west-1"\n')
    variables = {"TASKGATE_CONFIG_FILE": str(file), "TASKGATE_AWS__OMICS__REGION": "us-east-1"}
    with serving(aws, **variables) as server:
        lines = [server.line("AWS service ready")[0] for _ in range(2)]
    regions = {line["service"]: line["region"] for line in lines}
    assert regions == {"deadline": "eu-west-1", "omics": "us-east-1"}


def test_a_misspelt_variable_is_told(aws: Emulator) -> None:
    variables = {"TASKGATE_PROT": "1", "TASKGATE_PORT": "tcp://10.0.0.1:50051"}
    with serving(aws, **variables) as server:
        assert server.line("this variable is no setting")[0]["variable"] == "TASKGATE_PROT"
        server.line("listening")
