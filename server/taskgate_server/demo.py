"""`taskgate demo`: run an emulated AWS and a server on free ports, and show what a caller receives.

The server is the real command in a process of its own, configured by environment variables.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate_client import CallError, Client, DeadlineTaskName, OmicsTaskName, connect, render
from taskgate_emulator import Clock, Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.ports import Address, reserve
from taskgate_server.services.registry import SERVICES
from taskgate_server.shutdown import STOP_SIGNALS

REGION = "us-west-2"

HAS_HTTP = find_spec("connectrpc") is not None
"""Whether the extra `http` is installed."""

MAX_PORT = 65535

READY_SECONDS = 20.0

WATCH_SECONDS = 6.0
WATCH_SPEED = 20.0
"""In these two minutes of emulated time, tasks of both services end."""

DEADLINE_TASK = DeadlineTaskName(
    seed.FARM_ID,
    seed.QUEUE_ID,
    seed.JOB_ID,
    seed.SIMULATE_STEP_ID,
    seed.EVERY_PARAMETER_TASK_ID,
)
OMICS_TASK = OmicsTaskName(seed.RUN_ID, seed.FAILED_RUN_TASK_ID)


def show() -> int:
    """Start both, read, watch and fail in all the ways, and stop both; return the exit code."""
    console = Console()
    started = time.monotonic()
    clock = _HeldClock()
    address = _free_address()
    http = _free_address() if HAS_HTTP else None
    with (
        Emulator(clock=clock, speed=WATCH_SPEED) as aws,
        _server(aws.endpoint_url, address, http, log_level="ERROR") as server,
    ):
        seconds = time.monotonic() - started
        console.print(f"An emulated AWS at {aws.endpoint_url}, Taskgate at {address}", end="")
        if http is not None:
            console.print(f", its console at http://{http}/", end="")
        console.print(f", both ready in {seconds:.1f} s.\n", style="dim")
        with connect(address) as client:
            console.print(render.server_info(client.get_server_info()))
            _show_tasks(console, client)
            _show_errors(console, client)
            clock.release()
            _show_watch(console, client, clock)
    code = server.returncode
    console.print(f"\nTaskgate received SIGTERM, drained and exited with {code}.")
    return 0 if code == 0 else 1


def keep_running() -> int:
    """Start both and print how to call them, until Ctrl-C or a signal to stop.

    Raises:
        StartError: a port is not free, or the server cannot start.
    """
    console = Console(soft_wrap=True)
    address = _unused_address("TASKGATE_LISTEN_PORT", default=50051)
    http = _unused_address("TASKGATE_HTTP_PORT", default=8080) if HAS_HTTP else None
    try:
        _raise_at_signals()
        with (
            Emulator() as aws,
            _server(aws.endpoint_url, address, http, log_level="INFO") as server,
        ):
            console.print(f"Taskgate listens on {address}; the emulated AWS is {aws.endpoint_url}.")
            if http is not None:
                console.print(f"Open the console: http://{http}/ (the HTTP API is there, too)")
            console.print("Stop both with Ctrl-C. Examples of calls:\n")
            for title, command in _examples(address, http, aws.endpoint_url):
                console.print(Text(f"# {title}", style="dim"))
                console.print(Text(command), end="\n\n")
            return server.wait()
    except KeyboardInterrupt:
        return 0


def _raise_at_signals() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt once, as Ctrl-C does.

    By default they end this process at once, and its server would keep running.
    """

    def interrupt(*_: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # the shutdown must not be interrupted
        raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def _free_address() -> str:
    return str(reserve(Address(host="127.0.0.1", port=0)))


def _unused_address(variable: str, *, default: int) -> str:
    """Return the address with the port in an environment variable.

    Raises:
        StartError: another program has the port, or the value is not the number of a port.
    """
    port = os.environ.get(variable, str(default))
    if not port.isdecimal() or int(port) > MAX_PORT:
        raise StartError(f"{variable} must be the number of a port, not {port!r}")
    try:
        return str(reserve(Address(host="127.0.0.1", port=int(port))))
    except OSError as error:
        fault = f"port {port}: {error.strerror}; set {variable} to another port"
        raise StartError(fault) from None


def _examples(address: str, http: str | None, aws_url: str) -> list[tuple[str, str]]:
    """Return ways to call the server and the emulated AWS, with a title each."""
    call = f"buf curl --protocol grpc --http2-prior-knowledge http://{address}"
    unified = {"name": str(DEADLINE_TASK)}
    ids = {"id": OMICS_TASK.run, "taskId": OMICS_TASK.task}
    over_http = f"curl http://{http}/taskgate.v1.TaskService/GetTask -d '{json.dumps(unified)}'"
    return [
        ("The taskgate command", f"taskgate get {OMICS_TASK} --address {address}"),
        *([("curl: a Deadline Cloud task over HTTP", over_http)] if http is not None else []),
        (
            "buf: a Deadline Cloud task as a unified Task",
            f"{call}/taskgate.v1.TaskService/GetTask -d '{json.dumps(unified)}'",
        ),
        (
            "buf: HealthOmics' own GetRunTask",
            f"{call}/taskgate.omics.v1.OmicsService/GetRunTask -d '{json.dumps(ids)}'",
        ),
        (
            "Python",
            "from taskgate_client import connect\n"
            f'with connect("{address}") as client:\n'
            f'    print(client.get_task("{OMICS_TASK}"))',
        ),
        (
            "The emulated AWS without Taskgate: the AWS command line",
            "AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DISABLE_HOST_PREFIX_INJECTION=true"
            f" aws --endpoint-url {aws_url} --region {REGION}"
            f" omics get-run-task --id {OMICS_TASK.run} --task-id {OMICS_TASK.task}",
        ),
    ]


def _show_tasks(console: Console, client: Client) -> None:
    _heading(console, "A render task and a genomics task, both read with GetTask")
    for name in (DEADLINE_TASK, OMICS_TASK):
        console.print(render.task(client.get_task(name)))
    _heading(console, "The same tasks, read with the operations of AWS")
    ids = deadline_pb2.GetTaskRequest(
        farm_id=DEADLINE_TASK.farm,
        queue_id=DEADLINE_TASK.queue,
        job_id=DEADLINE_TASK.job,
        step_id=DEADLINE_TASK.step,
        task_id=DEADLINE_TASK.task,
    )
    _show_message(console, "deadline GetTask", client.deadline.GetTask(ids))
    run_ids = omics_pb2.GetRunTaskRequest(id=OMICS_TASK.run, task_id=OMICS_TASK.task)
    _show_message(console, "omics GetRunTask", client.omics.GetRunTask(run_ids))


def _show_message(console: Console, title: str, message: Message) -> None:
    console.print(Text(title, style="bold"))
    console.print(Text(json_format.MessageToJson(message, ensure_ascii=False), style="dim"))


def _show_errors(console: Console, client: Client) -> None:
    _heading(console, "Errors: an unknown task, and a malformed name")
    for name in (OmicsTaskName(seed.RUN_ID, "404"), f"omics/runs/{seed.RUN_ID}/tasks/GATK"):
        console.print(Text(f"GetTask {name}", style="bold"))
        try:
            client.get_task(name)
        except CallError as error:
            console.print(render.error(error))


class _HeldClock:
    """The emulator's clock, stopped until `release`: the server starts before tasks change."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC)
        self._released: datetime | None = None

    def __call__(self) -> datetime:
        """Return the time in the emulator."""
        if self._released is None:
            return self._start
        return self._start + (datetime.now(UTC) - self._released)

    def release(self) -> None:
        """Let time pass from now on."""
        self._released = datetime.now(UTC)


def _show_watch(console: Console, client: Client, clock: Clock) -> None:
    speed = f"at {WATCH_SPEED:g} times the usual speed"
    _heading(console, f"The job and the run, watched for {WATCH_SECONDS:g} s, {speed}")
    parents = (str(DEADLINE_TASK.job_name), str(OMICS_TASK.run_name))
    pictures = {parent: render.WatchDisplay(parent, clock()) for parent in parents}
    drawing = threading.Lock()  # rich draws in a thread of its own

    def watch(parent: str) -> None:
        # The watch ends when all tasks have settled, or with its time limit.
        try:
            for event in client.watch_tasks(parent, heartbeat_interval=1, timeout=WATCH_SECONDS):
                with drawing:
                    pictures[parent].apply(event, clock())
        except CallError as error:
            if error.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise

    def draw() -> RenderableType:
        with drawing:
            half = console.height // len(pictures) - 1
            parts = [(each.render(clock(), half), "") for each in pictures.values()]
            return Group(*(part for pair in parts for part in pair))

    with Live(get_renderable=draw, console=console), ThreadPoolExecutor() as threads:
        for done in [threads.submit(watch, parent) for parent in parents]:
            done.result()


def _heading(console: Console, text: str) -> None:
    console.print()
    console.rule(Text(text, style="bold cyan"), align="left")


class StartError(Exception):
    """The server cannot start, or has ended before it was ready; its log, on stderr, says why."""


@contextmanager
def _server(
    aws_url: str, address: str, http: str | None, log_level: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it is ready, and stop it with SIGTERM at the end.

    Raises:
        StartError: it cannot start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "taskgate_server.cli", "serve"],
        env=_environment(aws_url, address, http, log_level),
        # Ctrl-C is for this process, which stops the server; a second signal would cut its calls.
        start_new_session=True,
    )
    try:
        limit = time.monotonic() + READY_SECONDS
        while not _is_ready(address):
            if process.poll() is not None:
                raise StartError(f"the server has exited with {process.returncode}")
            if time.monotonic() > limit:
                raise StartError(f"the server was not ready within {READY_SECONDS:g} s")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()


def _environment(aws_url: str, address: str, http: str | None, log_level: str) -> dict[str, str]:
    """Return the environment of the server, without variables that could lead to the real AWS."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TASKGATE_"))
    }
    return inherited | {
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_REGION": REGION,
        **{
            f"TASKGATE_AWS__{spec.name.upper()}__{kind}ENDPOINT_URL": aws_url
            for spec in SERVICES
            for kind in ("", "LOGS_")
        },
        "TASKGATE_LISTEN_PORT": _port_of(address),
        **({} if http is None else {"TASKGATE_HTTP_PORT": _port_of(http)}),
        "TASKGATE_LOG_LEVEL": log_level,
    }


def _port_of(address: str) -> str:
    return address.rpartition(":")[2]


def _is_ready(address: str) -> bool:
    try:
        with connect(address) as client:
            info = client.get_server_info(timeout=READY_SECONDS / 10)
            return all(each.ready for each in info.aws_services)
    except CallError:
        return False  # it does not listen yet
