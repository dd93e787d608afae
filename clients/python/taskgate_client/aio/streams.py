"""The asyncio side of what goes on over many calls: calls and time, nothing else."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self

import grpc

from taskgate_client.errors import CallError
from taskgate_client.reconnects import Reconnects
from taskgate_client.streams import Event, Response, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncTiming:
    """Where time and chance come from."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


class AsyncResumingStream(Generic[Response, Event]):
    """An asynchronous iterator that goes on with another call when one breaks.

    Close it, or use it in an `async with`, to end the call at once. A task that is cancelled while
    it waits for an event leaves the stream as it was: it may be asked again.

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
        call: Callable[[float | None], Any],
        session: Session[Response, Event],
        lost: Callable[[CallError, float, int], Event | None],
        *,
        timing: AsyncTiming,
        time_limit: float | None,
    ) -> None:
        self._open = call
        self._session = session
        self._lost = lost
        self._timing = timing
        self._reconnects = Reconnects(timing.random)
        self._time_limit = time_limit
        self._end = None if time_limit is None else timing.clock() + time_limit
        self._call: Any = None
        self._read: asyncio.Task[Any] | None = None
        self._delay = 0.0
        self._ready: deque[Event] = deque()
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            CallError: the server was not reached at all, has not been for minutes, or refused; or
                DEADLINE_EXCEEDED when the time is up.
        """
        while not self._ready:
            if self._closed or self._session.finished:
                await self.close()
                raise StopAsyncIteration
            await self._advance()
        return self._ready.popleft()

    async def close(self) -> None:
        """Ends the call and the iteration."""
        self._closed = True
        self._drop_call()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _advance(self) -> None:
        if self._call is None:
            await self._pause()
            self._call = self._open(self._time_left())
        try:
            response = await self._receive()
            if response is grpc.aio.EOF:
                self._drop_call()
                self._session.end()
                return
            self._reconnects.reached(self._timing.clock())
            self._ready.extend(self._session.take(response))
        except CallError as error:
            if not self._closed:
                self._plan_next_call(error)

    async def _receive(self) -> Any:
        """The next message, or gRPC's EOF.

        The read is a task of its own, so that who is cancelled here does not end the call.
        """
        if self._read is None:
            self._read = asyncio.ensure_future(self._call.read())
        limit = self._session.silence_limit
        done, _ = await asyncio.wait([self._read], timeout=limit)
        if not done:
            raise CallError(
                grpc.StatusCode.UNAVAILABLE, f"nothing was heard from the server for {limit:g} s"
            )
        read, self._read = self._read, None
        try:
            return read.result()
        except asyncio.CancelledError:  # by `close`
            raise CallError(grpc.StatusCode.CANCELLED, "the stream was closed") from None
        except grpc.RpcError as error:
            raise CallError.of(error) from None

    def _plan_next_call(self, error: CallError) -> None:
        self._drop_call()
        self._time_left()
        try:
            self._delay = self._reconnects.delay_after(error, self._timing.clock())
        except CallError:
            self._closed = True
            raise
        event = self._lost(error, self._delay, self._reconnects.failures)
        if event is not None:
            self._ready.append(event)

    async def _pause(self) -> None:
        if self._delay:
            left = self._time_left()
            await self._timing.sleep(self._delay if left is None else min(self._delay, left))
            self._delay = 0.0

    def _time_left(self) -> float | None:
        if self._end is None:
            return None
        left = self._end - self._timing.clock()
        if left <= 0:
            self._closed = True
            self._drop_call()
            raise CallError(grpc.StatusCode.DEADLINE_EXCEEDED, f"the {self._time_limit:g} s are up")
        return left

    def _drop_call(self) -> None:
        if self._read is not None:
            self._read.cancel()
            self._read = None
        if self._call is not None:
            self._call.cancel()
            self._call = None
