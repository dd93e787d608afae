"""Supervised background tasks: a failure is logged and counted, then the task restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from taskgate_server.telemetry.logs import log_bug

FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 30.0
"""The pause before a restart doubles from failure to failure up to this."""
HEALTHY_SECONDS: Final = 60.0
"""After this time without a failure the pause is `FIRST_PAUSE_SECONDS` again."""


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """A coroutine that runs besides the calls."""

    name: str
    """For logs and metrics. Tasks of the same kind share it."""
    run: Callable[[], Coroutine[Any, Any, None]]
    """Returns the coroutine; called again after a failure. It may return when it is done."""


class Background(Protocol):
    """Work that goes on between calls and ends with the server."""

    def stop(self) -> None:
        """End long calls soon. Called when the server begins to shut down."""

    async def close(self) -> None:
        """End the work. Called when no call is served any more."""


class Supervision:
    """Runs background tasks and counts their failures.

    Args:
        sleep: waits for seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures: dict[str, int] = {}
        """By the names of all tasks that have been started."""
        self._sleep = sleep
        self._clock = clock

    async def keep_running(self, task: BackgroundTask) -> None:
        """Run a task until it returns or is cancelled; restart it after every failure."""
        self.failures.setdefault(task.name, 0)
        pause = FIRST_PAUSE_SECONDS
        while True:
            started = self._clock()
            try:
                await task.run()
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as error:  # pyo3's PanicException is no Exception
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    raise
                self.failures[task.name] += 1
                for each in _leaves(error):
                    log_bug(each, task=task.name)
            else:
                return
            if self._clock() - started >= HEALTHY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await self._sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_SECONDS)


def _is_cancelled() -> bool:
    """Return whether the current task is being cancelled.

    A CancelledError also comes out of awaiting a future that something else has cancelled; that is
    a failure like any other.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, such as that of a TaskGroup."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
