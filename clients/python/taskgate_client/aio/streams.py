"""Server streams that call again when a call breaks: watches and logs, for asyncio."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

from taskgate.v1 import task_log_pb2, task_watch_pb2
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


class AsyncResumingStream(ResumptionState[Response, Event]):
    """An asynchronous iterator over the events of a stream, which calls again when a call breaks.

    Close it, or use it in an `async with`, to end the call early. Cancelling a task that awaits an
    event leaves the stream intact.
    """

    def __init__(
        self,
        rpc: Any,
        session: Session[Response, Event],
        timing: AsyncTiming,
        timeout: float | None,
    ) -> None:
        super().__init__(rpc, session, timing, timeout)
        self._read: asyncio.Task[Any] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            CallError: as in `taskgate_client.streams.ResumingStream`.
        """
        while not self._ready:
            if self._closed or self._session.finished:
                await self.close()
                raise StopAsyncIteration
            await self._advance()
        return self._ready.popleft()

    async def close(self) -> None:
        """End the call and the iteration."""
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
        self._closed = True
        self._drop_call()

    def _drop_call(self) -> None:
        if self._read is not None:
            self._read.cancel()
            self._read = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    async def _advance(self) -> None:
        if self._call is None:
            if self._delay:
                await self._timing.sleep(self._next_pause())
            self._start_call()
        try:
            response = await self._receive()
            if response is grpc.aio.EOF:
                self._end_call()
            else:
                self._take(response)
        except CallError as error:
            if not self._closed:
                self._plan_next_call(error)

    async def _receive(self) -> Any:
        """Return the next message, or gRPC's EOF.

        The read runs in a task of its own, so that cancelling this coroutine does not end the call.
        """
        if self._read is None:
            self._read = asyncio.ensure_future(self._call.read())
        limit = self._session.silence_limit
        done, _ = await asyncio.wait([self._read], timeout=limit)
        if not done:
            raise silence_error(limit or 0.0)
        read, self._read = self._read, None
        try:
            return read.result()
        except asyncio.CancelledError:  # by `close`
            raise CallError(grpc.StatusCode.CANCELLED, "the stream was closed") from None
        except grpc.RpcError as error:
            raise CallError.of(error) from None


class AsyncTaskWatch(AsyncResumingStream[task_watch_pb2.WatchTasksResponse, WatchEvent]):
    """The events of a watch; see `taskgate_client.TaskWatch`."""

    def __init__(
        self,
        rpc: Any,
        request: task_watch_pb2.WatchTasksRequest,
        timing: AsyncTiming,
        timeout: float | None,
    ) -> None:
        self._watch = WatchSession(request)
        super().__init__(rpc, self._watch, timing, timeout)

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
        timing: AsyncTiming,
        timeout: float | None,
    ) -> None:
        self._log = LogSession(request)
        super().__init__(rpc, self._log, timing, timeout)

    @property
    def source(self) -> task_log_pb2.LogSource | None:
        """Where the log is, and of which attempt, once the server has sent it."""
        return self._log.source
