"""An executor with one daemon thread per call, for blocking calls that may hang.

Python joins the threads of its own executors before it exits, and `asyncio.run` waits for them:
a disk or a long poll that hangs would also hang the end of the server.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """Runs each call in a new daemon thread of this name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` in a new thread and return the future of its result."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  # the future delivers it
                future.set_exception(error)
            else:
                future.set_result(result)

        Thread(target=run, name=self._name, daemon=True).start()
        return future
