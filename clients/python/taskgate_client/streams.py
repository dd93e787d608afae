"""Server streams that call again when a call breaks: watches and logs, for the blocking client."""

from __future__ import annotations

import random
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc

from taskgate.v1 import task_log_pb2, task_watch_pb2
from taskgate_client.errors import CallError
from taskgate_client.events import WatchEvent
from taskgate_client.log_session import LogSession
from taskgate_client.reconnects import Reconnects
from taskgate_client.watch_session import WatchSession

Response = TypeVar("Response")
Response_contra = TypeVar("Response_contra", contravariant=True)
Event = TypeVar("Event")
Event_co = TypeVar("Event_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The clock, sleep and randomness of a client."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


class Session(Protocol[Response_contra, Event_co]):
    """What outlives a call: `WatchSession` or `LogSession`."""

    finished: bool

    @property
    def silence_limit(self) -> float | None:
        """Seconds without a message after which the connection counts as dead; None for never."""

    def request(self) -> Any:
        """Return the request for the next call."""

    def take(self, response: Response_contra, /) -> Sequence[Event_co]:
        """Return the events in a response. Raises CallError to end the call."""

    def end(self) -> None:
        """Handle a call that the server has ended. Raises CallError if it ended too early."""

    def reconnecting(self, error: CallError, delay: float, failures: int) -> Event_co | None:
        """Return the event for a call that broke, if there is one."""


class ResumptionState(ABC, Generic[Response, Event]):
    """What the blocking and the asyncio stream have in common.

    Args:
        rpc: the method of the stub.
        session: makes the requests and converts the responses.
        timing: the clock, sleep and randomness.
        timeout: seconds for the whole stream, over all calls; None for no limit.
    """

    def __init__(
        self, rpc: Any, session: Session[Response, Event], timing: Any, timeout: float | None
    ) -> None:
        self._rpc = rpc
        self._session = session
        self._timing = timing
        self._reconnects = Reconnects(timing.random)
        self._timeout = timeout
        self._end = None if timeout is None else timing.clock() + timeout
        self._call: Any = None
        self._delay = 0.0
        self._ready: deque[Event] = deque()
        self._closed = False

    @abstractmethod
    def _close(self) -> None:
        """End the call and the iteration."""

    @abstractmethod
    def _drop_call(self) -> None:
        """Cancel the current call, if there is one."""

    def _start_call(self) -> None:
        self._call = self._rpc(self._session.request(), timeout=self._time_remaining())

    def _take(self, response: Response) -> None:
        self._reconnects.reached(self._timing.clock())
        self._ready.extend(self._session.take(response))

    def _end_call(self) -> None:
        self._drop_call()
        self._session.end()

    def _plan_next_call(self, error: CallError) -> None:
        self._drop_call()
        self._time_remaining()
        try:
            self._delay = self._reconnects.delay_after(error, self._timing.clock())
        except CallError:
            self._closed = True
            raise
        event = self._session.reconnecting(error, self._delay, self._reconnects.failures)
        if event is not None:
            self._ready.append(event)

    def _next_pause(self) -> float:
        """Return the seconds to sleep before the next call, once."""
        remaining = self._time_remaining()
        pause = self._delay if remaining is None else min(self._delay, remaining)
        self._delay = 0.0
        return pause

    def _time_remaining(self) -> float | None:
        if self._end is None:
            return None
        remaining: float = self._end - self._timing.clock()
        if remaining <= 0:
            self._close()
            raise CallError(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"timed out after {self._timeout:g} s"
            )
        return remaining


class ResumingStream(ResumptionState[Response, Event]):
    """An iterator over the events of a stream, which calls again when a call breaks.

    Close it, or use it in a `with`, to end the call early; any thread may close it.
    """

    def __init__(
        self, rpc: Any, session: Session[Response, Event], timing: Timing, timeout: float | None
    ) -> None:
        super().__init__(rpc, session, timing, timeout)
        self._watchdog = _Watchdog(timing.clock)
        weakref.finalize(self, self._watchdog.stop)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """Return the next event.

        Raises:
            CallError: the server refused the call, was unreachable at the first attempt or for
                several minutes; or DEADLINE_EXCEEDED after the timeout.
        """
        while not self._ready:
            if self._closed or self._session.finished:
                self.close()
                raise StopIteration
            self._advance()
        return self._ready.popleft()

    def close(self) -> None:
        """End the call and the iteration."""
        self._closed = True
        self._watchdog.stop()
        self._drop_call()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _close(self) -> None:
        self.close()

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _advance(self) -> None:
        if self._call is None:
            if self._delay:
                self._timing.sleep(self._next_pause())
            self._start_call()
        try:
            response = self._receive()
            if response is None:
                self._end_call()
            else:
                self._take(response)
        except CallError as error:
            if not self._closed:
                self._plan_next_call(error)

    def _receive(self) -> Response | None:
        """Return the next message; None when the server has ended the call."""
        call = self._call
        try:
            with self._watchdog.watching(call, self._session.silence_limit):
                response: Response = next(call)
        except StopIteration:
            return None
        except grpc.RpcError as error:
            raise (self._watchdog.error() or CallError.of(error)) from None
        return response


class TaskWatch(ResumingStream[task_watch_pb2.WatchTasksResponse, WatchEvent]):
    """The events of a watch."""

    def __init__(
        self,
        rpc: Any,
        request: task_watch_pb2.WatchTasksRequest,
        timing: Timing,
        timeout: float | None,
    ) -> None:
        self._watch = WatchSession(request)
        super().__init__(rpc, self._watch, timing, timeout)

    @property
    def resume_token(self) -> bytes:
        """Where another watch can resume after the events so far; may be empty."""
        return self._watch.resume_token


class TaskLog(ResumingStream[task_log_pb2.StreamTaskLogsResponse, task_log_pb2.LogLine]):
    """The lines of a log."""

    def __init__(
        self,
        rpc: Any,
        request: task_log_pb2.StreamTaskLogsRequest,
        timing: Timing,
        timeout: float | None,
    ) -> None:
        self._log = LogSession(request)
        super().__init__(rpc, self._log, timing, timeout)

    @property
    def source(self) -> task_log_pb2.LogSource | None:
        """Where the log is, and of which attempt, once the server has sent it."""
        return self._log.source


def silence_error(seconds: float) -> CallError:
    """Return the error of a call without a message for so many seconds."""
    message = f"no message from the server for {seconds:g} s"
    return CallError(grpc.StatusCode.UNAVAILABLE, message)


class _Watchdog:
    """Cancels a call that is silent for too long while it is read.

    It needs a thread, as gRPC has no timeout for a read. Time between two reads does not count.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._limit: float | None = None
        self._clock = clock
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._call: Any = None
        self._read_start = 0.0
        self._has_cancelled = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, call: Any, limit: float | None) -> Iterator[None]:
        """Watch the read inside the `with`.

        Args:
            call: the call that is read.
            limit: seconds of silence after which it is cancelled; None for no limit.
        """
        with self._lock:
            self._call, self._read_start, self._has_cancelled = call, self._clock(), False
            self._limit = limit
        if limit is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(limit,), daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._call = None

    def error(self) -> CallError | None:
        """Return the error of the call if the watchdog has cancelled it."""
        return silence_error(self._limit) if self._has_cancelled and self._limit else None

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self, limit: float) -> None:
        wait = limit
        while not self._stopped.wait(wait):
            with self._lock:
                wait = limit
                if self._call is None or self._limit is None:
                    continue
                silent = self._clock() - self._read_start
                if silent < self._limit:
                    wait = self._limit - silent
                else:
                    self._has_cancelled = True
                    self._call.cancel()
