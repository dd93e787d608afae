"""Readings of definitions: what a workflow or run needs of a zip, computed once.

A reading can take seconds of CPU time. `prepare` computes it in another process, so that other
requests are served meanwhile; `read` returns it, and computes it here if nothing prepared it.
"""

from __future__ import annotations

import atexit
import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from threading import Event, Lock, Timer
from typing import Any

from taskgate_emulator.workflows.definition import DefinitionError, PlannedCall, open_definition

__all__ = ["Reading", "Readings", "Result", "compute"]

_MAX_CACHED_CALLS = 200_000
_MAX_SECONDS = 120.0
"""Longer readings are ended; no definition below the limits of a run takes so long."""
_COMMAND = (sys.executable, "-m", "taskgate_emulator.workflows.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What to read."""

    content: bytes
    """The zip."""
    engine: str | None
    main: str | None
    parameters: Mapping[str, Any] | None = None
    """Of a run, whose calls are planned; None for a workflow, whose template is derived."""

    def digest(self) -> str:
        """Return the key of the result."""
        given = repr((self.engine, self.main, self.parameters))
        return sha256(self.content + given.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a reading found."""

    engine: str | None = None
    main: str | None = None
    template: Mapping[str, Any] | None = None
    calls: tuple[PlannedCall, ...] = ()
    error: str | None = None
    """Why the definition cannot be run."""


def compute(reading: Reading) -> Result:
    """Return the result of a reading; an invalid definition is a result, too."""
    engine = main = None
    try:
        definition = open_definition(reading.content, reading.engine, reading.main)
        engine, main = definition.engine, definition.main
        if reading.parameters is None:
            return Result(engine=engine, main=main, template=definition.parameter_template())
        # The digest of a call suffices, and takes less time to send than all that it depends on.
        planned = definition.plan_calls(reading.parameters)
        calls = tuple(replace(call, content=call.digest()) for call in planned)
        return Result(engine=engine, main=main, calls=calls)
    except DefinitionError as error:
        return Result(engine=engine, main=main, error=str(error))


class Readings:
    """The latest results, and the process that computes new ones.

    Args:
        max_seconds: how long a reading may take in the other process.
        command: that starts the other process.
    """

    def __init__(
        self, max_seconds: float = _MAX_SECONDS, command: Sequence[str] = _COMMAND
    ) -> None:
        self._max_seconds = max_seconds
        self._command = command
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._lock = Lock()
        self._working = Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def read(self, reading: Reading) -> Result:
        """Return the result of a reading."""
        key = reading.digest()
        with self._lock:
            known = self._results.get(key)
        if known is None:
            known = compute(reading)
            self._store(key, known)
        return known

    def is_known(self, reading: Reading) -> bool:
        """Return whether `read` has nothing to compute."""
        with self._lock:
            return reading.digest() in self._results

    def prepare(self, reading: Reading) -> None:
        """Compute a reading in another process; call this in a thread."""
        with self._working:
            if not self.is_known(reading):
                self._store(reading.digest(), self._compute_elsewhere(reading))

    def close(self) -> None:
        """End the other process."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            for pipe in (worker.stdin, worker.stdout):
                with suppress(OSError):  # unsent bytes are of no use
                    if pipe is not None:
                        pipe.close()
            worker.wait()

    def _store(self, key: str, result: Result) -> None:
        with self._lock:
            self._results[key] = result
            while sum(1 + len(each.calls) for each in self._results.values()) > _MAX_CACHED_CALLS:
                self._results.popitem(last=False)
                if len(self._results) <= 1:
                    break

    def _compute_elsewhere(self, reading: Reading) -> Result:
        if self._worker is None:
            self._worker = subprocess.Popen(  # noqa: S603 this program
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        worker, expired = self._worker, Event()
        assert worker.stdin is not None  # noqa: S101 both are pipes
        assert worker.stdout is not None  # noqa: S101 both are pipes

        def end() -> None:
            expired.set()
            worker.kill()

        timer = Timer(self._max_seconds, end)
        timer.daemon = True
        timer.start()
        try:
            pickle.dump(reading, worker.stdin)
            worker.stdin.flush()
            result: Result = pickle.load(worker.stdout)  # noqa: S301 of this program
        except (EOFError, OSError, pickle.UnpicklingError):
            self.close()
            if not expired.is_set():  # the process cannot start, or has crashed
                return compute(reading)
            limit = f"{self._max_seconds:g} seconds"
            return Result(error=f"The definition cannot be read within {limit}; simplify it")
        finally:
            timer.cancel()
        return result
