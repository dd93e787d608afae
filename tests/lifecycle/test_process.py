"""The server as a process: how fast it starts, what it logs, how it stops."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2
from taskgate_client import CallError, DeadlineTaskName, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.machine_speed import slowness
from tests.support.server_process import cpu_seconds, running_process

LISTENING_SECONDS = 0.5
SERVING_SECONDS = 1.5
STARTS = 20
SECRET_PATH = "/mnt/shots/secret"


@pytest.mark.alone  # it has a budget of CPU time, which takes longer beside others
def test_server_listens_and_serves_soon_after_the_start(aws: Emulator) -> None:
    # Wall clock on a machine with nothing else to do. On a busy one the server waits for its turn,
    # which is none of its doing, so there the processor's time counts. The best of some starts.
    listening, ready = [], []
    for _ in range(STARTS):
        with running_process(aws) as server:
            seconds = server.line("listening")[1]
            listening.append(min(seconds, cpu_seconds(server.process.pid)))
            server.line("AWS service ready")
            seconds = server.line("AWS service ready")[1]
            ready.append(min(seconds, cpu_seconds(server.process.pid)))
        starts_soon = min(listening) < LISTENING_SECONDS * slowness()
        if starts_soon and min(ready) < SERVING_SECONDS * slowness():
            return
    raise AssertionError(f"listening: {listening}, serving: {ready}")


def test_each_call_has_one_line_without_values(aws: Emulator) -> None:
    body = {"taskId": "1", "parameters": {"Out": {"path": SECRET_PATH}}}
    name = DeadlineTaskName(
        seed.FARM_ID,
        seed.QUEUE_ID,
        seed.JOB_ID,
        seed.RENDER_STEP_ID,
        seed.FAILED_TASK_ID,
    )
    with running_process(aws, TASKGATE_LOG_LEVEL="DEBUG") as server:
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
    with running_process(aws) as server:
        server.line("AWS service ready")
        assert server.stop(number) == 0
        assert server.line("stopped")[0]["cut"] == 0


def test_invalid_settings_prevent_the_start_with_a_line_for_each_fault(tmp_path: Path) -> None:
    file = tmp_path / "taskgate.toml"
    file.write_text('listen_port = "soon"\n[aws.deadline]\nregion = "the moon"\nregoin = "x"\n')
    variables = {"TASKGATE_DRAIN_SECONDS": "-1"}
    with running_process(None, "--config", str(file), **variables) as server:
        del variables
        _, stderr = server.process.communicate(timeout=20)
        assert server.process.returncode == 1
    faults = [line.partition(": ")[2] for line in stderr.splitlines()]
    assert [fault.partition(" (")[0] for fault in faults] == [
        "aws.deadline.region",
        "aws.deadline.regoin",
        "drain_seconds",
    ]


def test_unknown_aws_service_prevents_the_start(tmp_path: Path) -> None:
    file = tmp_path / "taskgate.toml"
    file.write_text('[aws.omix]\nregion = "us-west-2"\n')
    with running_process(None, "--config", str(file)) as server:
        _, stderr = server.process.communicate(timeout=20)
        assert server.process.returncode == 1
    assert "aws.omix: unknown AWS service; known are deadline, omics" in stderr


def test_environment_takes_precedence_over_the_file(aws: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "taskgate.toml"
    file.write_text('[aws.deadline]\nregion = "eu-west-1"\n[aws.omics]\nregion = "eu-west-1"\n')
    variables = {"TASKGATE_CONFIG_FILE": str(file), "TASKGATE_AWS__OMICS__REGION": "us-east-1"}
    with running_process(aws, **variables) as server:
        lines = [server.line("AWS service ready")[0] for _ in range(2)]
    regions = {line["service"]: line["region"] for line in lines}
    assert regions == {"deadline": "eu-west-1", "omics": "us-east-1"}


def test_unknown_variable_is_logged(aws: Emulator) -> None:
    variables = {"TASKGATE_PROT": "1", "TASKGATE_PORT": "tcp://10.0.0.1:50051"}
    with running_process(aws, **variables) as server:
        assert server.line("unknown environment variable")[0]["variable"] == "TASKGATE_PROT"
        server.line("listening")
