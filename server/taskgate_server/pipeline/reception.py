"""Reception: the request message, or the first one of a client stream, is read.

It comes after authentication and rate limits, so that a caller without identity cannot make the
server hold messages. A message that does not arrive in time ends the call. While the server is
shutting down, calls that wait for a message and have nothing else to do end, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.auth.limits import CallerLimits
from taskgate_server.calls import Call, Rpc, parse_request
from taskgate_server.large_requests import LargeRequests
from taskgate_server.pipeline.idle import EndedError, IdleLimit
from taskgate_server.pipeline.response import unless_left
from taskgate_server.pipeline.stage import Enter

EOF: Final = grpc.aio.EOF

FIRST_MESSAGE_SECONDS: Final = 1.0
"""How long a call that has come may take to send its first message after shutdown has begun."""


class Reception:
    """Reads requests; stops waiting for some of them as a `Background` of the server.

    Args:
        idle_seconds: how long a caller may take to send its next message.
        limits: in which each further message of a stream in both directions counts as a call, since
            it has a response of its own; None for no limits.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        idle_seconds: float,
        limits: CallerLimits | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._first = IdleLimit(idle_seconds)
        """Waits for the first message of a call, which has done nothing yet."""
        self._upload = IdleLimit(idle_seconds)
        """Waits for further messages that belong together. They go on while the server drains."""
        self._exchange = IdleLimit(idle_seconds)
        """Waits for further messages of streams in both directions, each of which has a response
        of its own."""
        self._limits = limits
        self._sleep = sleep
        self._large = LargeRequests()

    def stop(self) -> None:
        """End the calls that only wait for a message, so that they do not delay the shutdown."""
        self._exchange.end()
        asyncio.get_running_loop().call_later(FIRST_MESSAGE_SECONDS, self._first.end)

    async def close(self) -> None:
        """End the thread: all calls have ended."""
        self._large.close()

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        if not rpc.has_request:
            return None
        if not rpc.client_streams:
            return self._receiving(rpc)
        counted = rpc.server_streams and self._limits is not None

        async def receive_first(call: Call) -> None:
            first = await _next(call, self._first)
            if first is EOF:
                call.message = rpc.request_class()
                call.requests = _nothing()
                return
            call.data = first
            call.message = await self._parse(rpc, call, first)
            call.requests = self._all(rpc, call, call.message, counted=counted)

        return receive_first

    def _receiving(self, rpc: Rpc) -> Enter:
        async def receive(call: Call) -> None:
            data = await _next(call, self._first)
            if data is EOF:
                raise errors.invalid_request({"": "the call ended without a request message"})
            _check_size(rpc, data)
            call.data = data
            if self._limits is not None:
                self._limits.count_bytes(call.requester, len(data))
            call.in_thread = self._large.of(call.requester, len(data))
            if call.in_thread is not None:
                call.message = await call.in_thread(partial(parse_request, rpc.request_class, data))

        return receive

    async def _parse(self, rpc: Rpc, call: Call, data: bytes) -> Message:
        """Return a message of a stream."""
        _check_size(rpc, data)
        in_thread = self._large.of(call.requester, len(data))
        if in_thread is None:
            return parse_request(rpc.request_class, data)
        return await in_thread(partial(parse_request, rpc.request_class, data))

    async def _all(
        self, rpc: Rpc, call: Call, first: Message, *, counted: bool
    ) -> AsyncIterator[Message]:
        """Yield the first message, which is read already, and those that follow."""
        yield first
        waits = self._exchange if rpc.server_streams else self._upload
        while (data := await _next(call, waits)) is not EOF:
            if counted and self._limits is not None:
                while seconds := self._limits.admit_message(call.requester):
                    await self._sleep(seconds)
            yield await self._parse(rpc, call, data)


def _check_size(rpc: Rpc, data: bytes) -> None:
    """Refuse a message that is larger than any of the RPC needs to be.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT.
    """
    limit = rpc.max_request_bytes
    if limit is not None and len(data) > limit:
        raise errors.invalid_request({"": f"must have at most {limit} bytes"})


async def _next(call: Call, waits: IdleLimit) -> Any:
    """Return the next message, or `EOF`.

    Raises:
        errors.TaskgateError: it did not come in time, or the server is shutting down.
    """
    if call.read is None:
        return EOF
    try:
        return await waits.wait(unless_left(call.read()))
    except TimeoutError:
        raise errors.request_idle(waits.seconds) from None
    except EndedError:
        raise errors.ServerStoppingError() from None


async def _nothing() -> AsyncIterator[Message]:
    return
    yield
