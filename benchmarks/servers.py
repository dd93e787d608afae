"""The servers of a benchmark, which are started when first needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TypeAlias

from benchmarks.machine import BenchError, Process

MAX_FAILURES = 2
Start: TypeAlias = Callable[[], AbstractContextManager[Process]]


class Servers:
    """Servers by name. One that did not start is started once again, then no more."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, tuple[Process, ExitStack]] = {}
        self._failures: dict[str, list[BenchError]] = {}

    def get(self, name: str, start: Start) -> Process:
        """Return a server, which is started if it does not run.

        Raises:
            BenchError: it does not start, or did not start twice.
        """
        failures = self._failures.setdefault(name, [])
        if len(failures) == MAX_FAILURES:
            raise failures[-1]
        if name not in self._running:
            own = self._stack.enter_context(ExitStack())
            try:
                self._running[name] = own.enter_context(start()), own
            except BenchError as error:
                failures.append(error)
                raise
        return self._running[name][0]

    def stop(self, name: str) -> None:
        """Stop a server, if it runs: the next `get` starts another."""
        if name in self._running:
            _, own = self._running.pop(name)
            own.close()
