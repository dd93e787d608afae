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
from taskgate_client.lifetime import Lifetime
from taskgate_client.log_session import LogSession
from taskgate_client.reconnects import Reconnects
from taskgate_client.watch_session import WatchSession
from taskgate_client.watchdog import Watchdog
from taskgate_client.wrapped_call import cancellable

Response = TypeVar("Response")
Response_contra = TypeVar("Response_contra", contravariant=True)
Event = TypeVar("Event")
Event_co = TypeVar("Event_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The clock, pauses and randomness of a client."""

    clock: Callable[[], float] = time.monotonic
    wait: Callable[[threading.Event, float], object] = threading.Event.wait
    """Waits for an event that ends a pause early, or for the pause in seconds."""
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParts:
    """What the streams and waits of a client share."""

    timing: Timing
    lifetime: Lifetime
    watchdog: Watchdog


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
        timing: the clock, pauses and randomness.
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
        self._end_at = None if timeout is None else timing.clock() + timeout
        self._delay = 0.0
        self._ready: deque[Event] = deque()
        self._ended = False
        self._error: CallError | None = None
        """Why it has ended, unless the server or the user has ended it."""

    @abstractmethod
    def _drop_call(self) -> None:
        """Cancel the current call, if there is one."""

    def _check_error(self) -> None:
        if self._error is not None:
            raise self._error

    @contextmanager
    def _final_errors(self) -> Iterator[None]:
        """End the stream if there is an error in the `with`: no call could be made."""
        try:
            yield
        except CallError:
            self._ended = True
            raise

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
            self._ended = True
            raise
        event = self._session.reconnecting(error, self._delay, self._reconnects.failures)
        if event is not None:
            self._ready.append(event)

    def _next_pause(self) -> float:
        """Return the seconds to pause before the next call, once."""
        remaining = self._time_remaining()
        pause = self._delay if remaining is None else min(self._delay, remaining)
        self._delay = 0.0
        return pause

    def _time_remaining(self) -> float | None:
        if self._end_at is None:
            return None
        remaining: float = self._end_at - self._timing.clock()
        if remaining <= 0:
            self._ended = True
            self._drop_call()
            raise CallError(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"timed out after {self._timeout:g} s"
            )
        return remaining


class _CurrentCall:
    """The current call of a stream; it can outlive a stream without references."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Any = None

    def drop(self) -> None:
        """Cancel the call, if there is one."""
        if self.call is not None:
            self.call.cancel()
            self.call = None


class ResumingStream(ResumptionState[Response, Event]):
    """An iterator over the events of a stream, which calls again when a call breaks.

    Close it, or use it in a `with`, to end the call early; any thread may close it. The call also
    ends when nothing refers to the stream any more, such as after a `for` that was left early.
    """

    def __init__(
        self,
        rpc: Any,
        session: Session[Response, Event],
        parts: ClientParts,
        timeout: float | None,
    ) -> None:
        super().__init__(rpc, session, parts.timing, timeout)
        self._lifetime = parts.lifetime
        self._watchdog = parts.watchdog
        self._stopped = threading.Event()
        self._current = _CurrentCall()
        weakref.finalize(self, self._current.drop).atexit = False
        parts.lifetime.add(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """Return the next event.

        Raises:
            CallError: the server refused the call, was unreachable at the first attempt or for
                several minutes; DEADLINE_EXCEEDED after the timeout; or `ClosedError`, the client
                was closed.
        """
        while not self._ready or self._error is not None:
            self._check_error()
            if self._ended or self._session.finished:
                self.close()
                raise StopIteration
            self._advance()
        return self._ready.popleft()

    def close(self) -> None:
        """End the call and the iteration."""
        self._ended = True
        self._stopped.set()
        self._current.drop()

    def end(self, error: CallError) -> None:
        """See `lifetime.Endable`."""
        self._error = error
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _drop_call(self) -> None:
        self._current.drop()

    def _advance(self) -> None:
        if self._current.call is None and self._delay:
            self._timing.wait(self._stopped, self._next_pause())
        if self._ended:
            return
        if self._current.call is None:
            self._start_call()
        try:
            response = self._receive()
            if response is None:
                self._end_call()
            else:
                self._take(response)
        except CallError as error:
            if not self._ended:
                self._plan_next_call(error)

    def _start_call(self) -> None:
        with self._final_errors(), self._lifetime.call_errors():
            call = self._rpc(self._session.request(), timeout=self._time_remaining())
        self._current.call = cancellable(call)

    def _receive(self) -> Response | None:
        """Return the next message; None when the server has ended the call."""
        call = self._current.call
        try:
            with self._watchdog.watching(call, self._session.silence_limit) as read:
                response: Response = next(call)
        except StopIteration:
            return None
        except (grpc.RpcError, CallError) as error:
            if read.is_late:
                raise silence_error(self._session.silence_limit or 0.0) from None
            raise CallError.of(error) from None
        finally:
            if self._ended:  # by another thread, perhaps before there was a call
                call.cancel()
        return response


class TaskWatch(ResumingStream[task_watch_pb2.WatchTasksResponse, WatchEvent]):
    """The events of a watch."""

    def __init__(
        self,
        rpc: Any,
        request: task_watch_pb2.WatchTasksRequest,
        parts: ClientParts,
        timeout: float | None,
    ) -> None:
        self._watch = WatchSession(request)
        super().__init__(rpc, self._watch, parts, timeout)

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
        parts: ClientParts,
        timeout: float | None,
    ) -> None:
        self._log = LogSession(request)
        super().__init__(rpc, self._log, parts, timeout)

    @property
    def source(self) -> task_log_pb2.LogSource | None:
        """Where the log is, and of which attempt, once the server has sent it."""
        return self._log.source


def silence_error(seconds: float) -> CallError:
    """Return the error of a call without a message for so many seconds."""
    message = f"no message from the server for {seconds:g} s"
    return CallError(grpc.StatusCode.UNAVAILABLE, message)
