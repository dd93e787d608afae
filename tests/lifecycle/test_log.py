"""The log of a server process: without a reader, closed, on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.replicas import SECONDS
from tests.support.server_process import is_serving, server_environment

CALLS = 300
PIPE_BYTES = 4096
"""Room for some 15 lines."""
COLOR = re.compile(r"\033\[[0-9;]*m")


class Server:
    """A `taskgate serve` with a given stderr."""

    def __init__(self, aws: Emulator, stderr: int | IO[bytes], **variables: str) -> None:
        [port] = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "taskgate_server.cli", "serve"],
            env=server_environment(aws, LISTEN_PORT=str(port), **variables),
            stderr=stderr,
        )

    def call(self, count: int = CALLS) -> None:
        """Make calls that fail, each of which has a line in the log; health must serve on."""
        with grpc.insecure_channel(self.address) as channel:
            tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            health: Any = health_pb2_grpc.HealthStub(channel)
            for _ in range(count):
                with pytest.raises(grpc.RpcError) as raised:
                    tasks.GetTask(task_service_pb2.GetTaskRequest(name="nothing"), timeout=SECONDS)
                assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            request = health_pb2.HealthCheckRequest(service="live")
            status = health.Check(request, timeout=SECONDS).status
            assert status == health_pb2.HealthCheckResponse.SERVING

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def serving(aws: Emulator, stderr: int | IO[bytes], **variables: str) -> Iterator[Server]:
    server = Server(aws, stderr, **variables)
    try:
        wait_until(lambda: is_serving(server.address))
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@contextmanager
def small_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reader, writer
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_log_without_a_reader_blocks_nothing(aws: Emulator, workers: str) -> None:
    with small_pipe() as (_, writer), serving(aws, writer, WORKERS=workers) as server:
        server.call()
        assert server.stop() == 0


def test_log_has_a_line_for_every_call(aws: Emulator) -> None:
    lines: list[bytes] = []
    with small_pipe() as (reader, writer):
        source = os.fdopen(os.dup(reader), "rb")
        with source:
            with serving(aws, writer) as server:
                thread = threading.Thread(target=lambda: lines.extend(source))
                thread.start()
                server.call()
                assert server.stop() == 0
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, writer)  # the last writer is gone: the reader sees the end
            os.close(null)
            thread.join()
    messages = [json.loads(line)["message"] for line in lines]
    assert messages.count("call") == CALLS
    assert "stopped" in messages


def broken_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    "make", [broken_pipe, lambda: os.open("/dev/full", os.O_WRONLY)], ids=["broken pipe", "full"]
)
def test_the_exit_status_does_not_depend_on_the_log(aws: Emulator, make: Callable[[], int]) -> None:
    descriptor = make()
    try:
        with serving(aws, descriptor) as server:
            server.call(20)
            assert server.stop() == 0
    finally:
        os.close(descriptor)


def test_a_server_without_stderr_does_not_log_into_another_file(aws: Emulator) -> None:
    [port] = free_ports(1)
    command = f"exec {sys.executable} -m taskgate_server.cli serve 2>&-"
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], env=server_environment(aws, LISTEN_PORT=str(port))
    )
    try:
        wait_until(lambda: is_serving(f"127.0.0.1:{port}"))
        assert Path(f"/proc/{process.pid}/fd/2").readlink() == Path(os.devnull)
        process.terminate()
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def read_terminal(aws: Emulator, **variables: str) -> str:
    """Return what a server writes to a terminal, from its start to its end."""
    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                chunks.append(chunk)
        except OSError:  # Linux reports the end of a terminal so
            return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        with serving(aws, theirs, **variables) as server:
            server.call(1)
            assert server.stop() == 0
    finally:
        os.close(theirs)
        thread.join()
        os.close(ours)
    return b"".join(chunks).decode()


def test_a_terminal_gets_lines_for_people(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TASKGATE_ODD", "1")
    text = read_terminal(aws, **{"odd\u202eone": ""})
    assert COLOR.search(text)
    plain = COLOR.sub("", text)
    assert "\033" not in plain
    assert not any(line.startswith("{") for line in plain.splitlines())
    assert re.search(
        r"^\d\d:\d\d:\d\d INFO    listening address=127\.0\.0\.1:\d+\r$", plain, re.MULTILINE
    )
    call = (
        r"^\d\d:\d\d:\d\d INFO    taskgate\.v1\.TaskService/GetTask INVALID_ARGUMENT duration_ms="
    )
    assert re.search(call, plain, re.MULTILINE)
    assert re.search(r"^\S+ WARNING .*variable=TASKGATE_odd\\u202eone\r$", plain, re.MULTILINE)
    assert "INFO    stopped cut=0\r\n" in plain


def test_no_color_is_honored(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = read_terminal(aws)
    assert " INFO    listening " in text
    assert "\033" not in text


def test_json_on_a_terminal(aws: Emulator) -> None:
    lines = read_terminal(aws, LOG_FORMAT="json").splitlines()
    assert "listening" in [json.loads(line)["message"] for line in lines]


def test_text_in_a_pipe(aws: Emulator) -> None:
    with small_pipe() as (reader, writer), serving(aws, writer, LOG_FORMAT="text") as server:
        assert server.stop() == 0
        text = os.read(reader, PIPE_BYTES).decode()
    assert " INFO    listening address=" in text
    assert "\033" not in text
