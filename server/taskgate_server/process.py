"""Runs a server in this process, or supervises several worker processes.

With several workers this process is their supervisor. It reads the settings, holds the ports, and
sends both to each worker through its standard input, so that all workers have the same settings,
including those that replace another one later. The input stays open: a worker whose supervisor has
died reads its end, and drains.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final

from taskgate_server.config import Settings, SettingsError
from taskgate_server.ports import Address, ListenError, hold, is_unix, reserve
from taskgate_server.shutdown import Shutdown, drain_grace_seconds
from taskgate_server.telemetry.log_writer import LogWriter
from taskgate_server.telemetry.logs import LogOutput, choose_format, set_up_logging
from taskgate_server.workers import Supervisor

STDERR: Final = 2
LISTENS: Final = b"listens\n"
"""What a worker writes to its standard output, once."""
MARGIN_SECONDS: Final = 5.0
"""The time that a worker may take to stop, beyond grace and drain."""


def serve(load: Callable[[], Settings], worker: int | None = None) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP.

    Args:
        load: returns the settings.
        worker: the number of this process, if it is one of several.

    Returns:
        1 if the server cannot start; the reasons are on stderr, one per line. Otherwise the process
        ends: with 0 after it has drained, with 1 if it had to stop at once.
    """
    writer = _make_writer()
    try:
        settings = load()
        log = LogOutput(writer, choose_format(settings.log_format, sys.stderr, os.environ))
        set_up_logging(settings.log_level, log, worker=worker)
        if worker is None and settings.workers > 1:
            status = asyncio.run(_supervise(settings))
        else:
            status = _run(settings, log, is_worker=worker is not None)
    except SettingsError as error:
        faults = error.faults
    except ListenError as error:
        faults = [str(error)]
    else:
        # The status does not depend on whether the log can be written. Without `_exit`, a boto3
        # call that hangs would keep its thread, and so the process, until its read timeout.
        writer.close()
        os._exit(status)
    for fault in faults:
        writer.write(f"taskgate: {fault}\n")
    writer.close()
    return 1


def work() -> int:
    """Serve as a worker: like `serve`, with the settings that the supervisor writes to stdin."""
    received: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    return serve(lambda: Settings(**received["settings"]), worker=received["worker"])


def _make_writer() -> LogWriter:
    """Return the writer of stderr.

    A process that is started without stderr gets /dev/null: otherwise the next file to be opened
    would take the descriptor, and receive the log.
    """
    try:
        os.fstat(STDERR)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != STDERR:
            os.dup2(null, STDERR)
            os.close(null)
    return LogWriter(STDERR)


def _run(settings: Settings, log: LogOutput, *, is_worker: bool) -> int:
    import uvloop  # noqa: PLC0415  # a supervisor needs neither

    from taskgate_server import app  # noqa: PLC0415  # takes 0.3 s

    async def run() -> bool:
        shutdown = Shutdown()
        if is_worker:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop_orphan, shutdown)
        ready = _report_listening if is_worker else None
        return await app.run(settings, log, ready=ready, stopping=shutdown)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return 0 if runner.run(run()) else 1


def _report_listening(_: Address) -> None:
    os.write(sys.stdout.fileno(), LISTENS)


def _stop_orphan(shutdown: Shutdown) -> None:
    """Shut down, because the supervisor's end of standard input is closed."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    if not shutdown.begun.is_set():
        shutdown.request()


async def _supervise(settings: Settings) -> int:
    if is_unix(settings.listen_host):
        raise SettingsError(["listen_host: a Unix socket serves one process: set workers = 1"])
    shutdown = Shutdown()
    shutdown.listen_to_signals()
    with ExitStack() as ports:
        address = _hold(Address(host=settings.listen_host, port=settings.listen_port), ports)
        changed: dict[str, object] = {"listen_port": address.port}
        if settings.health_port is not None:
            host = settings.health_host or settings.listen_host
            health = _hold(Address(host=host, port=settings.health_port), ports)
            changed["health_port"] = health.port
        if settings.http_port is not None:
            host = settings.hosts()["http_host"]
            http = _hold(Address(host=host, port=settings.http_port), ports)
            changed["http_port"] = http.port
        settings = settings.model_copy(update=changed)
        limit = drain_grace_seconds(settings) + settings.drain_seconds + MARGIN_SECONDS
        return await Supervisor(
            lambda index: _WorkerProcess.start(settings, index),
            settings.workers,
            shutdown=shutdown,
            limit_seconds=limit,
        ).run()


def _hold(address: Address, ports: ExitStack) -> Address:
    """Return an address with its actual port, which is held as long as the stack is open.

    Raises:
        ListenError: the address cannot be listened on.
    """
    try:
        actual = reserve(address)
        ports.enter_context(hold(actual))
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror}") from None
    return actual


class _WorkerProcess:
    """A worker as a child process; a `workers.Worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, settings: Settings, index: int) -> _WorkerProcess:
        """Start a worker, and send it its settings."""
        port = settings.admin_port
        own = settings.model_copy(update={"admin_port": port + index if port else port})
        message = {"worker": index, "settings": own.model_dump(mode="json")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "taskgate_server.process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C is for the supervisor, which forwards it; a second one would stop at once.
            start_new_session=True,
        )
        if process.stdin is not None:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            with suppress(ConnectionError):  # it has died already
                await process.stdin.drain()
        return cls(process)

    async def listens(self) -> bool:
        stdout = self._process.stdout
        return stdout is not None and await stdout.readline() == LISTENS

    async def wait(self) -> int:
        return await self._process.wait()

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


if __name__ == "__main__":
    sys.exit(work())
