"""Several worker processes on one port: starts them, replaces those that die, stops them together.

A supervisor serves nothing itself. It holds the ports, so that none is lost while a worker is
replaced; the system spreads new connections over the workers, which share them (SO_REUSEPORT).

    Supervisor   what becomes of the workers
    Worker       one of them: `workers` starts it

The first worker has to listen before the others are started: what is wrong with the settings is
found and told once.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol, TypeAlias

from taskgate_server.shutdown import Shutdown
from taskgate_server.telemetry import LOG, log_bug

FIRST_DELAY_SECONDS: Final = 1.0
MAX_DELAY_SECONDS: Final = 30.0
"""A worker that dies young is replaced after a pause, which doubles up to this."""
LONG_LIFE_SECONDS: Final = 30.0
"""One that has lived so long is replaced at once."""


class Worker(Protocol):
    """A process that serves."""

    pid: int

    async def listens(self) -> bool:
        """Waits until it listens; False if it ends instead."""

    async def wait(self) -> int:
        """Waits for its end; returns its exit status, or the negative of a signal's number."""

    def tell(self, number: int) -> None:
        """Sends it a signal, if it is still there."""


Start: TypeAlias = Callable[[int], Awaitable[Worker]]
"""Starts the worker with that number, from 0."""


class Supervisor:
    """Keeps so many workers running; `run` it once.

    Args:
        start: starts one.
        count: how many.
        stopping: says when to stop.
        limit_seconds: that workers may take to stop.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        start: Start,
        count: int,
        *,
        stopping: Shutdown,
        limit_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._count = count
        self._stopping = stopping
        self._limit = limit_seconds
        self._clock = clock
        self._running: dict[int, Worker] = {}
        self._statuses: list[int] = []
        self._serving = asyncio.Event()

    async def run(self) -> int:
        """Runs until it is told to stop.

        Returns:
            The exit status of it all: 0 if all workers have drained in the end; 1 if the first one
            did not start, or one had to be cut short.
        """
        telling = asyncio.ensure_future(self._pass_on())
        keepers = [asyncio.ensure_future(self._keep(0))]
        serving = asyncio.ensure_future(self._serving.wait())
        await asyncio.wait({keepers[0], serving}, return_when=asyncio.FIRST_COMPLETED)
        if self._serving.is_set():
            keepers += [asyncio.ensure_future(self._keep(each)) for each in range(1, self._count)]
            await self._stopping.begun.wait()
        _, late = await asyncio.wait(keepers, timeout=self._limit)
        if late:
            LOG.error("workers killed", extra={"pids": [each.pid for each in self._workers()]})
            self._tell(signal.SIGKILL)
        await asyncio.gather(*keepers)
        telling.cancel()
        serving.cancel()
        return int(any(self._statuses))

    async def _keep(self, index: int) -> None:
        """Keeps one worker running, until all are to stop."""
        delay = 0.0
        while not self._stopping.begun.is_set():
            began = self._clock()
            status, pid = await self._live(index)
            if self._stopping.begun.is_set() or not self._serving.is_set():
                # One that still starts has nothing to drain, and dies of the signal.
                ended = self._stopping.begun.is_set() and status == -signal.SIGTERM
                self._statuses.append(0 if ended else status)
                return
            lived = self._clock() - began
            delay = 0.0 if lived > LONG_LIFE_SECONDS else _longer(delay)
            fields = {"worker": index, "pid": pid, "status": status}
            LOG.error("worker died", extra={**fields, "lived_seconds": lived, "pause": delay})
            await self._pause(delay)

    async def _live(self, index: int) -> tuple[int, int | None]:
        """Sees a worker through its life; returns its exit status, and which process it was."""
        try:
            worker = await self._start(index)
        except OSError as error:  # the machine has no room for another process now
            LOG.error("worker not started", extra={"worker": index, "cause": error.strerror})
            return 1, None
        self._running[index] = worker
        try:
            if self._stopping.begun.is_set():  # said before this one could hear it
                worker.tell(signal.SIGTERM)
            if await worker.listens():
                LOG.info("worker serves", extra={"worker": index, "pid": worker.pid})
                self._serving.set()
            status = await worker.wait()
        except Exception as error:  # noqa: BLE001  # a worker that nobody waits for must not run
            log_bug(error, worker=index)
            worker.tell(signal.SIGKILL)
            status = 1
        finally:
            del self._running[index]
        return status, worker.pid

    async def _pass_on(self) -> None:
        """Tells the workers what the supervisor is told."""
        await self._stopping.begun.wait()
        self._tell(signal.SIGTERM)
        await self._stopping.at_once.wait()
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for worker in self._workers():
            worker.tell(number)

    def _workers(self) -> list[Worker]:
        return list(self._running.values())

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.begun.wait()


def _longer(delay: float) -> float:
    return min(max(delay * 2, FIRST_DELAY_SECONDS), MAX_DELAY_SECONDS)
