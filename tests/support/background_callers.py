"""Callers in threads beside a test: calls and watches that record their errors and results."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Self

import grpc

from taskgate_client import CallError, Client, Reconnecting, Snapshot, TaskChange


@dataclass(frozen=True)
class Failure:
    """A call that failed."""

    what: str
    began: float
    ended: float
    error: str


class Background:
    """A loop that runs in a thread of its own during a `with` block."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        """Run until `_stop` is set."""
        raise NotImplementedError


class Caller(Background):
    """Repeats a call, a few dozen times a second."""

    def __init__(self, what: str, call: Callable[[], object], pause: float = 0.01) -> None:
        self.what = what
        self.calls = 0
        self.slowest = 0.0
        """Seconds of the slowest call."""
        self.failures: list[Failure] = []
        self._call = call
        self._pause = pause
        super().__init__()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            began = time.monotonic()
            try:
                self._call()
            except (grpc.RpcError, CallError) as error:
                self.failures.append(Failure(self.what, began, time.monotonic(), repr(error)))
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.calls += 1


class Watcher:
    """Watches a parent with the Python client, and records each state that it receives."""

    def __init__(self, client: Client, parent: str) -> None:
        self.states: set[tuple[str, str]] = set()
        self.breaks: list[CallError] = []
        self.snapshots = 0
        self.ready = threading.Event()
        self.error: Exception | None = None
        self._watch = client.watch_tasks(parent, heartbeat_interval=1)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watcher:
        self._thread.start()
        assert self.ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()
        self._thread.join()

    def lacks(self, states: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return the states that it has not received."""
        return set(states) - self.states

    def _run(self) -> None:
        try:
            for event in self._watch:
                match event:
                    case Snapshot():
                        self.snapshots += 1
                        self.states |= {(each.name, each.native_state) for each in event.tasks}
                        self.ready.set()
                    case TaskChange():
                        self.states.add((event.task.name, event.task.native_state))
                    case Reconnecting():
                        self.breaks.append(event.error)
        except CallError as error:  # for the test to assert
            self.error = error
