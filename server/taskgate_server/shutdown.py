"""Signals to stop: the first one drains the server, the second one stops it at once."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Final

from taskgate_server.config import Settings
from taskgate_server.ports import is_loopback

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP comes when the terminal is closed. Files are reloaded without a signal."""


class Shutdown:
    """What signals say. `begun` is set by the first one, `at_once` by the next."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """Somebody asks."""
        (self.at_once if self.begun.is_set() else self.begun).set()

    def listen_to_signals(self) -> None:
        """Stop at `STOP_SIGNALS` from now on; call it in the event loop.

        SIGHUP stays ignored in a process that nohup(1) has started.
        """
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            is_ignored = signal.getsignal(number) is signal.SIG_IGN
            if number is not signal.SIGHUP or not is_ignored:
                loop.add_signal_handler(number, self.ask)

    async def pause(self, seconds: float) -> None:
        """Waits, but no longer than until it is to stop at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.at_once.wait()


LOAD_BALANCER_SECONDS: Final = 5.0
"""How long load balancers take to hear that a server goes. Kubernetes takes an endpoint that is not
ready out of its services in a second or two, and health checks come every few seconds."""


def drain_grace_seconds(settings: Settings) -> float:
    """How long calls are still taken after the signal to stop."""
    if settings.drain_grace_seconds is not None:
        return settings.drain_grace_seconds
    return 0.0 if is_loopback(settings.listen_host) else LOAD_BALANCER_SECONDS
