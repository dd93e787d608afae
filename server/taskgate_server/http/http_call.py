"""A call over HTTP, as the pipeline sees it: what `grpc.aio.ServicerContext` is over gRPC.

connectrpc reads a request before it calls the function of a method, and reads the messages of a
stream as the function consumes them. The pipeline reads a request only after it has authenticated
the caller. So the pipeline runs in a task of its own: it starts before the request is read, waits
for it in `read`, and passes the messages of a stream to the function one by one in `write`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from google.rpc import status_pb2

from taskgate_server import errors
from taskgate_server.http.error_conversion import (
    deadline_exceeded,
    retry_seconds,
    to_connect_error,
    to_taskgate_error,
)
from taskgate_server.http.peer import HttpPeer
from taskgate_server.pipeline.response import STATUS_KEY, Context, Metadata
from taskgate_server.telemetry.logs import log_bug

Serve: TypeAlias = Callable[[object, Context], Awaitable[bytes | None]]
"""The pipeline with the behaviour of an RPC."""

Encode: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Converts a response to the encoding of the call."""

RETRY_AFTER: Final = "retry-after"
"""Response header with the seconds of RetryInfo: RFC 9110, section 10.2.3."""


_LATE: Final = (Code.CANCELED, Code.DEADLINE_EXCEEDED)
"""The codes of connectrpc's own errors after which the pipeline's response is not needed."""


class HttpCall:
    """A call of one RPC.

    Args:
        peer: the client's end of the connection.
        context: connectrpc's view of the call.
        encode: converts responses; None if they stay in the binary format.
    """

    def __init__(
        self, peer: HttpPeer, context: RequestContext[bytes, bytes], encode: Encode | None
    ) -> None:
        self._peer = peer
        self._context = context
        self._encode = encode
        self._metadata = tuple(context.request_headers.allitems())
        self._task: asyncio.Task[bytes | None] | None = None
        self._is_wanted = False
        """Whether the pipeline waits for the request."""
        self._requests: AsyncIterator[bytes] | None = None
        self._fault: Exception | None = None
        """Why there will be no request."""
        self._delivered = asyncio.Event()
        self._reader: asyncio.Task[Any] | None = None
        """The task that reads the body of the request for connectrpc."""
        self._response: bytes | None = None
        """A message of the response stream that has not been sent yet."""
        self._has_room = asyncio.Event()
        self._changed = asyncio.Event()
        """Set when the request is wanted, when there is a message, and when the task has ended."""
        self._failure: ConnectError | None = None

    # --- For the pipeline: `grpc.aio.ServicerContext` ---------------------------------------------

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """Return the headers of the request."""
        return self._metadata

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """Return what the TLS handshake verified."""
        return self._peer.auth_context

    def peer(self) -> str:
        """Return the address of the client in gRPC's form."""
        return self._peer.name

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline of the call; None for a call without one."""
        milliseconds = self._context.timeout_ms
        return None if milliseconds is None else milliseconds / 1000

    async def read(self) -> Any:
        """Return the next request message in the encoding of the call, `EOF` after the last one.

        Raises:
            errors.TaskgateError: it is malformed or too large.
        """
        self._is_wanted = True
        self._changed.set()
        await self._delivered.wait()
        if self._fault is not None or self._requests is None:
            raise _cause(self._fault)
        try:
            return await anext(self._requests, grpc.aio.EOF)
        except ConnectError as error:
            raise _cause(error) from None

    async def write(self, message: bytes) -> None:
        """Send a message of the response stream; return when the one before it has been sent."""
        if self._encode is not None:
            message = await self._encode(message)
        while self._response is not None:
            self._has_room.clear()
            await self._has_room.wait()
        self._response = message
        self._changed.set()

    async def send_initial_metadata(self, initial_metadata: Metadata) -> None:
        """Set headers of the response."""
        for key, value in initial_metadata:
            self._context.response_headers.add(key, str(value))

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Set trailers of the response."""
        for key, value in trailing_metadata:
            self._context.response_trailers.add(key, str(value))

    async def abort(
        self,
        code: grpc.StatusCode,  # noqa: ARG002  # the status has it, too
        details: str,  # noqa: ARG002  # likewise
        trailing_metadata: Metadata,
    ) -> NoReturn:
        """End the call with the error in the trailing metadata.

        Raises:
            grpc.aio.AbortError: always.
        """
        others = dict(trailing_metadata)
        status = status_pb2.Status.FromString(others.pop(STATUS_KEY))
        self.set_trailing_metadata(tuple(others.items()))
        self._failure = to_connect_error(status)
        seconds = retry_seconds(status)
        if seconds is not None:
            self._context.response_headers[RETRY_AFTER] = str(seconds)
        raise grpc.aio.AbortError

    # --- For connectrpc ---------------------------------------------------------------------------

    async def start(self, serve: Serve) -> None:
        """Run the pipeline until it waits for the request.

        Raises:
            ConnectError: the call is refused.
        """
        self._task = asyncio.ensure_future(serve(None, self))
        self._task.add_done_callback(self._end)
        try:
            while not self._is_wanted and not self._task.done():
                await self._next_change()
        except asyncio.CancelledError:
            await self.cancel()
            raise
        if self._task.done():
            self._outcome()

    async def receive(self, receive: Callable[[], Awaitable[Any]]) -> Any:
        """Return the next ASGI event; that of a client who has left, if the call ends meanwhile.

        The body may take longer than the pipeline waits for it.
        """
        if self._delivered.is_set():
            return await receive()
        self._reader = asyncio.current_task()
        try:
            return await receive()
        except asyncio.CancelledError:
            if self._reader is None or not self._has_ended or self._reader.uncancel():
                raise
            return {"type": "http.disconnect"}
        finally:
            self._reader = None

    def deliver(self, requests: AsyncIterator[bytes]) -> None:
        """Let the pipeline read the request."""
        self._requests = requests
        self._delivered.set()

    async def response(self) -> bytes:
        """Return the response of an RPC without response stream.

        Raises:
            ConnectError: the call has failed.
        """
        try:
            while not self._has_ended:
                await self._next_change()
        except asyncio.CancelledError:
            await self.cancel()
            raise
        response = self._outcome() or b""
        if self._encode is None:
            return response
        try:
            return await self._encode(response)
        except Exception as error:  # noqa: BLE001  # nothing else may reach the caller
            log_bug(error, peer=self._peer.name)
            raise ConnectError(Code.INTERNAL, errors.BugError().message) from None

    async def responses(self) -> AsyncIterator[bytes]:
        """Yield the messages of the response stream.

        Raises:
            ConnectError: the call has failed.
        """
        try:
            while True:
                if self._response is not None:
                    response, self._response = self._response, None
                    self._has_room.set()
                    yield response
                elif self._has_ended:
                    break
                else:
                    await self._next_change()
        finally:
            await self.cancel()  # the client may have left
        self._outcome()

    async def fail(self, error: Exception) -> None:
        """End a call whose request cannot be read, or whose deadline has passed.

        Raises:
            ConnectError: the error with its details.
        """
        if self._has_ended and not self._delivered.is_set():
            self._outcome()
        if isinstance(error, ConnectError) and error.code in _LATE:
            await self.cancel()
            if error.code is Code.DEADLINE_EXCEEDED and not error.details:  # connectrpc's own
                raise deadline_exceeded()
        elif not self._has_ended:
            self._fault = error
            self._delivered.set()
            await self.response()

    async def cancel(self) -> None:
        """End the pipeline's work, if it has not ended."""
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    def _end(self, task: asyncio.Task[bytes | None]) -> None:
        if not task.cancelled():
            task.exception()  # or asyncio logs that no one has read it
        self._requests = None  # it may hold megabytes
        if self._reader is not None:
            self._reader.cancel()
        self._changed.set()

    @property
    def _has_ended(self) -> bool:
        return self._task is None or self._task.done()

    async def _next_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def _outcome(self) -> bytes | None:
        """Return the response of the pipeline; raise ConnectError if the call has failed."""
        task = self._task
        if task is None or task.cancelled():
            raise ConnectError(Code.CANCELED, "the call was cancelled")
        error = task.exception()
        if error is None:
            return task.result()
        failure, self._failure = self._failure, None
        if failure is None or not isinstance(error, grpc.aio.AbortError):
            raise error
        raise failure


def _cause(error: Exception | None) -> Exception:
    """Return why a request cannot be read, as the pipeline understands it."""
    if isinstance(error, ConnectError) and error.code is not Code.CANCELED:
        return to_taskgate_error(error)
    return error or ConnectError(Code.CANCELED, "the client has left")
