"""Signals to stop: the first one drains the server, the second one stops it at once."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Final

from taskgate_server.config import Settings
from taskgate_server.ports import is_loopback

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP arrives when the terminal is closed. Files are reloaded without a signal."""

LOAD_BALANCER_SECONDS: Final = 5.0
"""The time in which load balancers stop sending calls to a server that reports NOT_SERVING.
Kubernetes removes an endpoint that is not ready within two seconds, and health checks run every few
seconds."""


class Shutdown:
    """The state of a shutdown: the first request sets `begun`, the second one `at_once`."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.at_once = asyncio.Event()

    def request(self) -> None:
        """Begin to shut down; if that has begun, stop at once."""
        (self.at_once if self.begun.is_set() else self.begun).set()

    def listen_to_signals(self) -> None:
        """Request a shutdown at each of `STOP_SIGNALS`. Call it in the event loop.

        SIGHUP stays ignored in a process that nohup(1) started.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            is_ignored = signal.getsignal(number) is signal.SIG_IGN
            if number is not signal.SIGHUP or not is_ignored:
                loop.add_signal_handler(number, self.request)

    async def pause(self, seconds: float) -> None:
        """Wait for this time, or until the server is to stop at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.at_once.wait()


def drain_grace_seconds(settings: Settings) -> float:
    """Return how long new calls are accepted after the first signal."""
    if settings.drain_grace_seconds is not None:
        return settings.drain_grace_seconds
    return 0.0 if all(map(is_loopback, settings.hosts().values())) else LOAD_BALANCER_SECONDS
