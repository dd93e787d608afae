"""The supervisor of several worker processes on one port.

A supervisor serves nothing itself. It holds the ports, so that none is lost while a worker is
replaced; the system distributes new connections over the workers, which share the ports
(SO_REUSEPORT). The first worker must listen before the others are started, so that a fault in the
settings is reported once.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from taskgate_server.shutdown import Shutdown
from taskgate_server.telemetry.logs import LOG, log_bug

FIRST_DELAY_SECONDS: Final = 1.0
MAX_DELAY_SECONDS: Final = 30.0
"""The pause before a worker that died early is replaced doubles up to this."""
MIN_LIFE_SECONDS: Final = 30.0
"""A worker that lived for longer than this is replaced without a pause."""


class Worker(Protocol):
    """A process that serves."""

    pid: int

    async def listens(self) -> bool:
        """Wait until it listens; return False if it ends instead."""

    async def wait(self) -> int:
        """Wait for its end; return its exit status, or the negative number of a signal."""

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is still running."""


Start: TypeAlias = Callable[[int], Awaitable[Worker]]
"""Starts the worker of a number, from 0."""


class Supervisor:
    """Keeps a number of workers running. Call `run` once.

    Args:
        start: starts a worker.
        count: the number of workers.
        shutdown: stops all workers.
        limit_seconds: the time that workers may take to stop.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        start: Start,
        count: int,
        *,
        shutdown: Shutdown,
        limit_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._count = count
        self._shutdown = shutdown
        self._limit = limit_seconds
        self._clock = clock
        self._running: dict[int, Worker] = {}
        self._statuses: list[int] = []
        self._serving = asyncio.Event()

    async def run(self) -> int:
        """Run until the shutdown.

        Returns:
            The exit status: 0 if all workers have drained; 1 if the first one did not start, or one
            had to be killed.
        """
        forwarding = asyncio.ensure_future(self._forward_shutdown())
        keepers = [asyncio.ensure_future(self._keep_running(0))]
        serving = asyncio.ensure_future(self._serving.wait())
        await asyncio.wait({keepers[0], serving}, return_when=asyncio.FIRST_COMPLETED)
        if self._serving.is_set():
            others = range(1, self._count)
            keepers += [asyncio.ensure_future(self._keep_running(index)) for index in others]
            await self._shutdown.begun.wait()
        _, late = await asyncio.wait(keepers, timeout=self._limit)
        if late:
            pids = [worker.pid for worker in self._running.values()]
            LOG.error("workers killed", extra={"pids": pids})
            self._send_signal(signal.SIGKILL)
        await asyncio.gather(*keepers)
        forwarding.cancel()
        serving.cancel()
        return int(any(self._statuses))

    async def _keep_running(self, index: int) -> None:
        """Keep one worker running until the shutdown."""
        delay = 0.0
        while not self._shutdown.begun.is_set():
            began = self._clock()
            status, pid = await self._run_once(index)
            if self._shutdown.begun.is_set() or not self._serving.is_set():
                # A worker that still starts has nothing to drain, and dies of the signal.
                ended = self._shutdown.begun.is_set() and status == -signal.SIGTERM
                self._statuses.append(0 if ended else status)
                return
            lived = self._clock() - began
            if lived > MIN_LIFE_SECONDS:
                delay = 0.0
            else:
                delay = min(max(delay * 2, FIRST_DELAY_SECONDS), MAX_DELAY_SECONDS)
            fields = {"worker": index, "pid": pid, "status": status}
            LOG.error("worker died", extra={**fields, "lived_seconds": lived, "pause": delay})
            await self._pause(delay)

    async def _run_once(self, index: int) -> tuple[int, int | None]:
        """Run a worker until it ends; return its exit status and its process id."""
        try:
            worker = await self._start(index)
        except OSError as error:  # the machine has no room for another process now
            LOG.error("worker not started", extra={"worker": index, "cause": error.strerror})
            return 1, None
        self._running[index] = worker
        try:
            if self._shutdown.begun.is_set():  # it began before this worker could receive signals
                worker.send_signal(signal.SIGTERM)
            if await worker.listens():
                LOG.info("worker serves", extra={"worker": index, "pid": worker.pid})
                self._serving.set()
            status = await worker.wait()
        except Exception as error:  # noqa: BLE001  # a worker that is not awaited must not run
            log_bug(error, worker=index)
            worker.send_signal(signal.SIGKILL)
            status = 1
        finally:
            del self._running[index]
        return status, worker.pid

    async def _forward_shutdown(self) -> None:
        """Send SIGTERM to all workers at each of the two steps of the shutdown."""
        await self._shutdown.begun.wait()
        self._send_signal(signal.SIGTERM)
        await self._shutdown.at_once.wait()
        self._send_signal(signal.SIGTERM)

    def _send_signal(self, number: int) -> None:
        for worker in list(self._running.values()):
            worker.send_signal(number)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._shutdown.begun.wait()
