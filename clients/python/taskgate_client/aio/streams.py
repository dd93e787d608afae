"""Server streams that call again when a call breaks: watches and logs, for asyncio."""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

from taskgate.v1 import task_log_pb2, task_watch_pb2
from taskgate_client.aio.lifetime import AsyncLifetime, AsyncPauses
from taskgate_client.errors import CallError
from taskgate_client.events import WatchEvent
from taskgate_client.log_session import LogSession
from taskgate_client.streams import Event, Response, ResumptionState, Session, silence_error
from taskgate_client.watch_session import WatchSession


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncTiming:
    """The clock, sleep and randomness of a client."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncClientParts:
    """What the streams and waits of a client share."""

    timing: AsyncTiming
    lifetime: AsyncLifetime


class _CurrentCall:
    """The current call of a stream; it can outlive a stream without references."""

    __slots__ = ("_loop", "call", "iterator", "read")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self.call: Any = None
        self.iterator: Any = None
        self.read: asyncio.Future[Any] | None = None

    def start(self, call: Any) -> None:
        """Set the call."""
        self._loop = asyncio.get_running_loop()
        self.call, self.iterator = call, aiter(call)

    def drop(self) -> None:
        """Cancel the call, if there is one."""
        if self.read is not None:
            self.read.cancel()
            self.read = None
        if self.call is not None:
            self.call.cancel()
            self.call = self.iterator = None

    def drop_from_any_thread(self) -> None:
        """Cancel the call; any thread may collect garbage."""
        if self.call is not None and self._loop is not None and not self._loop.is_closed():
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self.drop)


class AsyncResumingStream(ResumptionState[Response, Event]):
    """An asynchronous iterator over the events of a stream, which calls again when a call breaks.

    Close it, or use it in an `async with`, to end the call early. The call also ends when nothing
    refers to the stream any more, such as after an `async for` that was left early. Cancelling a
    task that awaits an event leaves the stream intact.
    """

    def __init__(
        self,
        rpc: Any,
        session: Session[Response, Event],
        parts: AsyncClientParts,
        timeout: float | None,
    ) -> None:
        super().__init__(rpc, session, parts.timing, timeout)
        self._lifetime = parts.lifetime
        self._pauses = AsyncPauses(parts.timing.sleep)
        self._current = _CurrentCall()
        weakref.finalize(self, self._current.drop_from_any_thread).atexit = False
        parts.lifetime.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            CallError: as in `taskgate_client.streams.ResumingStream`.
        """
        while not self._ready or self._error is not None:
            self._check_error()
            if self._ended or self._session.finished:
                await self.close()
                raise StopAsyncIteration
            await self._advance()
        return self._ready.popleft()

    async def close(self) -> None:
        """End the call and the iteration."""
        self._close()

    def end(self, error: CallError) -> None:
        """See `taskgate_client.lifetime.Endable`."""
        self._error = error
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _close(self) -> None:
        self._ended = True
        self._pauses.stop()
        self._current.drop()

    def _drop_call(self) -> None:
        self._current.drop()

    async def _advance(self) -> None:
        if self._current.call is None and self._delay:
            await self._pauses.pause(self._next_pause())
        if self._ended:
            return
        if self._current.call is None:
            self._start_call()
        try:
            response = await self._receive()
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
        self._current.start(call)

    async def _receive(self) -> Response | None:
        """Return the next message; None when the server has ended the call.

        The read runs in a task of its own, so that cancelling this coroutine does not end the call.
        """
        current = self._current
        if current.read is None:
            current.read = asyncio.ensure_future(_next(current.iterator))
        limit = self._session.silence_limit
        done, _ = await asyncio.wait([current.read], timeout=limit)
        if not done:
            raise silence_error(limit or 0.0)
        [read] = done
        current.read = None
        try:
            response: Response | None = read.result()
        except asyncio.CancelledError:  # by `close`
            raise CallError(grpc.StatusCode.CANCELLED, "the stream was closed") from None
        except grpc.RpcError as error:
            raise CallError.of(error) from None
        return response


async def _next(iterator: AsyncIterator[Any]) -> Any:
    """Return the next message, or None at the end.

    Calls that an interceptor has wrapped have no method to read one.
    """
    return await anext(iterator, None)


class AsyncTaskWatch(AsyncResumingStream[task_watch_pb2.WatchTasksResponse, WatchEvent]):
    """The events of a watch; see `taskgate_client.TaskWatch`."""

    def __init__(
        self,
        rpc: Any,
        request: task_watch_pb2.WatchTasksRequest,
        parts: AsyncClientParts,
        timeout: float | None,
    ) -> None:
        self._watch = WatchSession(request)
        super().__init__(rpc, self._watch, parts, timeout)

    @property
    def resume_token(self) -> bytes:
        """Where another watch can resume after the events so far; may be empty."""
        return self._watch.resume_token


class AsyncTaskLog(AsyncResumingStream[task_log_pb2.StreamTaskLogsResponse, task_log_pb2.LogLine]):
    """The lines of a log; see `taskgate_client.TaskLog`."""

    def __init__(
        self,
        rpc: Any,
        request: task_log_pb2.StreamTaskLogsRequest,
        parts: AsyncClientParts,
        timeout: float | None,
    ) -> None:
        self._log = LogSession(request)
        super().__init__(rpc, self._log, parts, timeout)

    @property
    def source(self) -> task_log_pb2.LogSource | None:
        """Where the log is, and of which attempt, once the server has sent it."""
        return self._log.source
