"""A server as a process, or as several: `serve` runs it and ends the process.

With several workers this process is their supervisor. It reads the settings, keeps the ports, and
gives both to each worker by its standard input, so that all workers, also those that replace
another one later, have the same settings. The input stays open: a worker whose supervisor is gone
sees its end, and drains.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, Final, NoReturn

from taskgate_server import telemetry
from taskgate_server.config import Settings, SettingsError
from taskgate_server.ports import Address, ListenError, hold, is_unix, reserve
from taskgate_server.shutdown import Shutdown, drain_grace_seconds
from taskgate_server.telemetry import LogOutput, LogWriter, choose_format
from taskgate_server.workers import Supervisor

STDERR: Final = 2
LISTENS: Final = b"listens\n"
"""What a worker writes to its standard output, once."""
MARGIN_SECONDS: Final = 5.0
"""What a worker may take to stop, besides grace and drain."""


def serve(load: Callable[[], Settings]) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP.

    Args:
        load: gives the settings.

    Returns:
        1, if it could not start; the reasons are on stderr, a line each. Else the process ends:
        with 0 if it has drained, with 1 if it had to stop at once.
    """
    writer = _make_writer()
    try:
        settings = load()
        log = _set_up_logging(settings, writer)
        if settings.workers == 1:
            _end(_run(settings, log), writer)
        _end(asyncio.run(_supervise(settings)), writer)
    except SettingsError as error:
        return _failed(writer, *error.faults)
    except ListenError as error:
        return _failed(writer, str(error))


def work() -> int:
    """Serves as a worker: like `serve`, with what the supervisor writes to stdin."""
    given: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    writer = _make_writer()
    try:
        settings = Settings(**given["settings"])
        log = _set_up_logging(settings, writer, worker=given["worker"])
        _end(_run(settings, log, is_worker=True), writer)
    except SettingsError as error:
        return _failed(writer, *error.faults)
    except ListenError as error:
        return _failed(writer, str(error))


def _make_writer() -> LogWriter:
    """Return the writer of stderr.

    A process that is started without it gets /dev/null: the next file to be opened would take the
    descriptor, and get the log.
    """
    try:
        os.fstat(STDERR)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != STDERR:
            os.dup2(null, STDERR)
            os.close(null)
    return LogWriter(STDERR)


def _set_up_logging(settings: Settings, writer: LogWriter, worker: int | None = None) -> LogOutput:
    log = LogOutput(writer, choose_format(settings.log_format, sys.stderr, os.environ))
    telemetry.set_up_logging(settings.log_level, log, worker=worker)
    return log


def _run(settings: Settings, log: LogOutput, *, is_worker: bool = False) -> int:
    import uvloop  # noqa: PLC0415  # a supervisor needs neither

    from taskgate_server import app  # noqa: PLC0415

    async def run() -> bool:
        stopping = Shutdown()
        if is_worker:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _orphaned, stopping)
        ready = _say if is_worker else None
        return await app.run(settings, log, ready=ready, stopping=stopping)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return 0 if runner.run(run()) else 1


def _say(_: Address) -> None:
    os.write(sys.stdout.fileno(), LISTENS)


def _orphaned(stopping: Shutdown) -> None:
    """The supervisor has gone: its end of standard input is closed."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    if not stopping.begun.is_set():
        stopping.ask()


async def _supervise(settings: Settings) -> int:
    if is_unix(settings.listen_host):
        raise SettingsError(["listen_host: a Unix socket serves one process: set workers = 1"])
    stopping = Shutdown()
    stopping.listen_to_signals()
    with ExitStack() as ports:
        address = _kept(Address(host=settings.listen_host, port=settings.listen_port), ports)
        changed: dict[str, object] = {"listen_port": address.port}
        if settings.health_port is not None:
            host = settings.health_host or settings.listen_host
            health = _kept(Address(host=host, port=settings.health_port), ports)
            changed["health_port"] = health.port
        settings = settings.model_copy(update=changed)
        limit = drain_grace_seconds(settings) + settings.drain_seconds + MARGIN_SECONDS
        return await Supervisor(
            lambda index: _Worker.start(settings, index),
            settings.workers,
            stopping=stopping,
            limit_seconds=limit,
        ).run()


def _kept(address: Address, ports: ExitStack) -> Address:
    """The address with its real port, kept as long as the stack is open.

    Raises:
        ListenError: it cannot be had.
    """
    try:
        real = reserve(address)
        ports.enter_context(hold(real))
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror}") from None
    return real


class _Worker:
    """See `supervisor.Worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, settings: Settings, index: int) -> _Worker:
        """Starts one, and gives it its settings."""
        port = settings.admin_port
        own = settings.model_copy(update={"admin_port": port + index if port else port})
        given = {"worker": index, "settings": own.model_dump(mode="json")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "taskgate_server.process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C is for the supervisor, which passes it on; twice would be to stop at once.
            start_new_session=True,
        )
        if process.stdin is not None:
            process.stdin.write(json.dumps(given).encode() + b"\n")
            with suppress(ConnectionError):  # it has died already
                await process.stdin.drain()
        return cls(process)

    async def listens(self) -> bool:
        stdout = self._process.stdout
        return stdout is not None and await stdout.readline() == LISTENS

    async def wait(self) -> int:
        return await self._process.wait()

    def tell(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


def _failed(writer: LogWriter, *lines: str) -> int:
    for line in lines:
        writer.write(f"taskgate: {line}\n")
    writer.close()
    return 1


def _end(status: int, writer: LogWriter) -> NoReturn:
    """End the process; its status does not depend on whether the log could be written.

    A boto3 call that hangs would keep its thread, and so the process, until its read timeout.
    """
    writer.close()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(work())
