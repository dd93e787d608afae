"""`taskgate demo`: a local AWS and a server on free ports, and what a caller sees of them.

The server is the real command in a process of its own, told by environment variables where its AWS
is, as anyone would run it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

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
from taskgate_server.shutdown import STOP_SIGNALS
from taskgate_server.telemetry import LogStyle
from taskgate_server.telemetry.text_format import text_line

REGION = "us-west-2"
READY_SECONDS = 20.0

WATCH_SECONDS = 6.0
WATCH_SPEED = 20.0
"""Two minutes of the emulator's plans, in which tasks of both kinds come to their end."""

DEADLINE_TASK = DeadlineTaskName(
    seed.FARM_ID,
    seed.QUEUE_ID,
    seed.JOB_ID,
    seed.SIMULATE_STEP_ID,
    seed.EVERY_PARAMETER_TASK_ID,
)
OMICS_TASK = OmicsTaskName(seed.RUN_ID, seed.FAILED_RUN_TASK_ID)


def show() -> int:
    """Starts all, reads both tasks both ways, shows errors, watches, stops all; 0 if it worked."""
    console = Console()
    started = time.monotonic()
    clock = _HeldClock()
    with (
        Emulator(clock=clock, speed=WATCH_SPEED) as aws,
        _server(aws.endpoint_url, port=0) as server,
    ):
        took = time.monotonic() - started
        console.print(f"A local AWS at {aws.endpoint_url}, Taskgate at {server.address}", end="")
        console.print(f", both ready in {took:.1f} s.\n", style="dim")
        with connect(server.address) as client:
            console.print(render.server_info(client.get_server_info()))
            _show_tasks(console, client)
            _show_errors(console, client)
            clock.release()
            _show_watch(console, client, clock)
    code = server.process.returncode
    console.print(f"\nTaskgate got SIGTERM, drained and exited with {code}. The local AWS is gone.")
    return 0 if code == 0 else 1


def keep_running() -> int:
    """Start both and print how to call them, until Ctrl-C or a signal to stop."""
    console = Console(soft_wrap=True)
    port = int(os.environ.get("TASKGATE_LISTEN_PORT", "50051"))
    try:
        _raise_at_signals()
        return _keep_running(console, port)
    except KeyboardInterrupt:
        return 0


def _raise_at_signals() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt once, as Ctrl-C does.

    By default they end this process at once, and the server would go on without it.
    """

    def interrupt(*_: object) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # nothing may interrupt the end
        raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def _keep_running(console: Console, port: int) -> int:
    with Emulator() as aws, _server(aws.endpoint_url, port, log=sys.stderr) as server:
        console.print(f"Taskgate listens on {server.address}, its AWS is {aws.endpoint_url}.")
        console.print("Stop both with Ctrl-C. The same server, called in four ways:\n")
        for what, how in _ways(server.address, aws.endpoint_url):
            console.print(Text(f"# {what}", style="dim"))
            console.print(Text(how), end="\n\n")
        return server.process.wait()


def _ways(address: str, aws_url: str) -> list[tuple[str, str]]:
    call = f"buf curl --protocol grpc --http2-prior-knowledge http://{address}"
    unified = {"name": str(DEADLINE_TASK)}
    ids = {"id": OMICS_TASK.run, "taskId": OMICS_TASK.task}
    return [
        ("Taskgate's own command", f"taskgate get {OMICS_TASK} --address {address}"),
        (
            "buf, with no code: a Deadline Cloud task in the unified form",
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
        ("the local AWS itself, by the AWS command line", _aws_cli(aws_url)),
    ]


def _aws_cli(aws_url: str) -> str:
    return (
        "AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DISABLE_HOST_PREFIX_INJECTION=true"
        f" aws --endpoint-url {aws_url} --region {REGION}"
        f" omics get-run-task --id {OMICS_TASK.run} --task-id {OMICS_TASK.task}"
    )


def _show_tasks(console: Console, client: Client) -> None:
    _heading(console, "A render task and a genomics task, by the one GetTask for both")
    for name in (DEADLINE_TASK, OMICS_TASK):
        console.print(render.task(client.get_task(name)))
    _heading(console, "The same two, by AWS's own operations")
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
    _heading(console, "What a caller sees of a task that is not there, and of a name that is none")
    for name in (OmicsTaskName(seed.RUN_ID, "404"), f"omics/runs/{seed.RUN_ID}/tasks/GATK"):
        console.print(Text(f"GetTask {name}", style="bold"))
        try:
            client.get_task(name)
        except CallError as error:
            console.print(render.error(error))


class _HeldClock:
    """The emulator's clock: stands still until released.

    What is to be watched would otherwise pass while the server starts.
    """

    def __init__(self) -> None:
        self._start = datetime.now(UTC)
        self._released: datetime | None = None

    def __call__(self) -> datetime:
        """The time of the emulator."""
        if self._released is None:
            return self._start
        return self._start + (datetime.now(UTC) - self._released)

    def release(self) -> None:
        """Lets the time pass from now on."""
        self._released = datetime.now(UTC)


def _show_watch(console: Console, client: Client, clock: Clock) -> None:
    speed = f"{WATCH_SPEED:g} times as fast as usual"
    _heading(console, f"The job and the run, watched for {WATCH_SECONDS:g} s, {speed}")
    parents = (str(DEADLINE_TASK.job_name), str(OMICS_TASK.run_name))
    pictures = {parent: render.WatchDisplay(parent, clock()) for parent in parents}
    drawing = threading.Lock()  # rich draws in a thread of its own

    def follow(parent: str) -> None:
        # A client's watch ends by itself only when all has settled, or with its time.
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
        for done in [threads.submit(follow, parent) for parent in parents]:
            done.result()


def _heading(console: Console, text: str) -> None:
    console.print()
    console.rule(Text(text, style="bold cyan"), align="left")


class StartError(Exception):
    """The server did not start; the text is what it said."""


class _Server:
    """A `taskgate serve` process that listens."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address


@contextmanager
def _server(aws_url: str, port: int, log: TextIO | None = None) -> Iterator[_Server]:
    """A server whose AWS is at `aws_url`, ready; stopped by SIGTERM at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taskgate_server.cli", "serve"],
        env=_environment(aws_url, port),
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C is for this process, which stops the server; a second signal would cut its calls.
        start_new_session=True,
    )
    try:
        server = _Server(process, _address(process))
        # Somebody has to read the log, or the server would wait for room in the pipe.
        threading.Thread(target=_forward, args=(process.stderr, log), daemon=True).start()
        _wait_until(lambda: _is_ready(server.address))
        yield server
    finally:
        process.terminate()
        process.wait()


def _environment(aws_url: str, port: int) -> dict[str, str]:
    """The present environment, with nothing of it that could lead to the real AWS."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TASKGATE_"))
    }
    return kept | {
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_REGION": REGION,
        **{
            f"TASKGATE_AWS__{service}__{kind}ENDPOINT_URL": aws_url
            for service in ("DEADLINE", "OMICS")
            for kind in ("", "LOGS_")
        },
        "TASKGATE_LISTEN_PORT": str(port),
        "TASKGATE_LOG_FORMAT": "json",
    }


def _address(process: subprocess.Popen[str]) -> str:
    """The address in the server's log line that says it listens."""
    lines = []
    for line in process.stderr or ():
        # The command that reports it begins its own line so.
        lines.append(line.strip().removeprefix("taskgate: "))
        if line.startswith("{") and json.loads(line)["message"] == "listening":
            return str(json.loads(line)["address"])
    raise StartError("\n".join(lines).strip() or "the server said nothing and ended")


def _forward(log: TextIO, to: TextIO | None) -> None:
    """Pass the server's log on, for people if it goes to a terminal."""
    style = None if to is None else LogStyle.choose("auto", to, os.environ)
    for line in log:
        if to is not None and style is not None:
            to.write(_for_people(line, style) if style.is_text else line)


def _for_people(line: str, style: LogStyle) -> str:
    if not line.startswith("{"):
        return line
    fields = json.loads(line)
    del fields["logger"]
    moment = datetime.fromisoformat(fields.pop("time")).strftime("%H:%M:%S")
    level, message = fields.pop("level"), fields.pop("message")
    return f"{text_line(moment, level, message, fields, is_colored=style.is_colored)}\n"


def _is_ready(address: str) -> bool:
    with connect(address) as client:
        return all(each.ready for each in client.get_server_info().aws_services)


def _wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"the server was not ready within {READY_SECONDS:g} s")
        time.sleep(0.02)
