"""The blocking side of what goes on over many calls: calls, threads and time, nothing else."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import grpc

from taskgate_client.errors import CallError
from taskgate_client.reconnects import Reconnects

Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
Response_contra = TypeVar("Response_contra", contravariant=True)
Event = TypeVar("Event")
Event_co = TypeVar("Event_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where time and chance come from."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


class ServerStream(Protocol[Response_co]):
    """A call in flight: gRPC's own, which has no public type."""

    def __next__(self) -> Response_co:
        """The next message."""

    def cancel(self) -> bool:
        """Ends the call."""


class Session(Protocol[Response_contra, Event_co]):
    """What goes on: `WatchSession` and `LogSession`."""

    finished: bool

    @property
    def silence_limit(self) -> float | None:
        """How many seconds without a message mean that the connection is dead."""

    def take(self, response: Response_contra, /) -> Sequence[Event_co]:
        """The events in a message. Raises CallError where the call is of no more use."""

    def end(self) -> None:
        """The server has closed the call. Raises CallError if it should not have."""


class ResumingStream(Generic[Response, Event]):
    """An iterator that goes on with another call when one breaks.

    Close it, or use it in a `with`, to end the call at once; from another thread too.

    Args:
        call: opens the next call, given the seconds that it may take, if there is a limit.
        session: says what to make of each answer.
        lost: the event that tells of a break, given the error, the delay and the failures; None for
            a break that needs no telling.
        timing: where time and chance come from.
        time_limit: seconds for all of it; None for no limit.
    """

    def __init__(
        self,
        call: Callable[[float | None], ServerStream[Response]],
        session: Session[Response, Event],
        lost: Callable[[CallError, float, int], Event | None],
        *,
        timing: Timing,
        time_limit: float | None,
    ) -> None:
        self._open = call
        self._session = session
        self._lost = lost
        self._timing = timing
        self._reconnects = Reconnects(timing.random)
        self._time_limit = time_limit
        self._end = None if time_limit is None else timing.clock() + time_limit
        self._call: ServerStream[Response] | None = None
        self._delay = 0.0
        self._ready: deque[Event] = deque()
        self._closed = False
        self._watchdog = _Watchdog(timing.clock)
        weakref.finalize(self, self._watchdog.stop)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        """The next event.

        Raises:
            CallError: the server was not reached at all, has not been for minutes, or refused; or
                DEADLINE_EXCEEDED when the time is up.
        """
        while not self._ready:
            if self._closed or self._session.finished:
                self.close()
                raise StopIteration
            self._advance()
        return self._ready.popleft()

    def close(self) -> None:
        """Ends the call and the iteration."""
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

    def _advance(self) -> None:
        if self._call is None:
            self._pause()
            self._call = self._open(self._time_left())
        try:
            response = self._receive(self._call)
            if response is None:
                self._drop_call()
                self._session.end()
                return
            self._reconnects.reached(self._timing.clock())
            self._ready.extend(self._session.take(response))
        except CallError as error:
            if not self._closed:
                self._plan_next_call(error)

    def _receive(self, call: ServerStream[Response]) -> Response | None:
        """The next message; None when the server has closed the call."""
        try:
            with self._watchdog.watches(call, self._session.silence_limit):
                return next(call)
        except StopIteration:
            return None
        except grpc.RpcError as error:
            raise (self._watchdog.verdict() or CallError.of(error)) from None

    def _plan_next_call(self, error: CallError) -> None:
        self._drop_call()
        self._time_left()
        try:
            self._delay = self._reconnects.delay_after(error, self._timing.clock())
        except CallError:
            self.close()
            raise
        event = self._lost(error, self._delay, self._reconnects.failures)
        if event is not None:
            self._ready.append(event)

    def _pause(self) -> None:
        if self._delay:
            left = self._time_left()
            self._timing.sleep(self._delay if left is None else min(self._delay, left))
            self._delay = 0.0

    def _time_left(self) -> float | None:
        if self._end is None:
            return None
        left = self._end - self._timing.clock()
        if left <= 0:
            self.close()
            raise CallError(grpc.StatusCode.DEADLINE_EXCEEDED, f"the {self._time_limit:g} s are up")
        return left

    def _drop_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None


class _Watchdog:
    """Cancels a call that has been waited on for too long.

    A thread of its own has to, since reading a gRPC call cannot be bounded otherwise. Time in which
    the caller does something else does not count.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._limit: float | None = None
        self._clock = clock
        self._stopped = threading.Event()
        self._state = threading.Lock()
        self._call: ServerStream[object] | None = None
        self._since = 0.0
        self._barked = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watches(self, call: ServerStream[object], limit: float | None) -> Iterator[None]:
        """Watch over the waiting inside of the `with`.

        Args:
            call: what is waited for.
            limit: seconds of silence after which it is cancelled; None for no limit.
        """
        with self._state:
            self._call, self._since, self._barked = call, self._clock(), False
            self._limit = limit
        if limit is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(limit,), daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            with self._state:
                self._call = None

    def verdict(self) -> CallError | None:
        """Why the call was cancelled, if this did it."""
        if not self._barked:
            return None
        message = f"nothing was heard from the server for {self._limit:g} s"
        return CallError(grpc.StatusCode.UNAVAILABLE, message)

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()

    def _run(self, limit: float) -> None:
        wait = limit
        while not self._stopped.wait(wait):
            with self._state:
                wait = limit
                if self._call is None or self._limit is None:
                    continue
                silent = self._clock() - self._since
                if silent < self._limit:
                    wait = self._limit - silent
                else:
                    self._barked = True
                    self._call.cancel()
