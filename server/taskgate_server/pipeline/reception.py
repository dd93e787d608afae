"""Reception: read the request message, or the first one of a client stream.

It comes after authentication and rate limits, so that a caller without identity cannot make the
server hold messages. A message that does not arrive in time ends the call. While the server is
shutting down, calls that only wait for a message end, too.
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
from taskgate_server.calls import CallContext, CallRequest, Encoding, Rpc, parse_request
from taskgate_server.large_requests import LargeRequests
from taskgate_server.pipeline.idle import EndedError, IdleLimit
from taskgate_server.pipeline.response import unless_left

EOF: Final = grpc.aio.EOF

FIRST_MESSAGE_SECONDS: Final = 1.0
"""How long a call that has come may take to send its first message after shutdown has begun."""


class Reception:
    """Reads requests.

    Args:
        idle_seconds: how long a caller may take to send its next message.
        limits: count each further message of a bidirectional stream as a call, since it gets a
            response; None for no limits.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        idle_seconds: float,
        limits: CallerLimits | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._first = IdleLimit(idle_seconds)
        """Waits for the first message of a call."""
        self._upload = IdleLimit(idle_seconds)
        """Waits for further messages of an upload. They continue while the server drains."""
        self._exchange = IdleLimit(idle_seconds)
        """Waits for further messages of bidirectional streams, where each message gets a
        response."""
        self._limits = limits
        self._sleep = sleep
        self.large = LargeRequests()
        """Processes large messages."""

    def stop(self) -> None:
        """End the calls that only wait for a message, so that they do not delay the shutdown."""
        self._exchange.end()
        asyncio.get_running_loop().call_later(FIRST_MESSAGE_SECONDS, self._first.end)

    async def close(self) -> None:
        """End the thread: all calls have ended."""
        self.large.close()

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        if not call.rpc.has_request:
            return call
        if call.rpc.client_streams:
            request = await self._receive_stream(call)
        else:
            request = await self._receive_message(call)
        return call._replace(request=request)

    async def _receive_message(self, call: CallContext) -> CallRequest:
        data = await _next(call, self._first)
        if data is EOF:
            raise errors.invalid_request({"": "the call ended without a request message"})
        _check_size(call.rpc, data)
        if self._limits is not None:
            self._limits.count_bytes(call.requester, len(data))
        if call.encoding is not None:
            data = await self._decode(call, call.encoding, data)
        in_thread = self.large.of(call.requester, len(data))
        if in_thread is None:
            return CallRequest(data)
        message = await in_thread(partial(parse_request, call.rpc.request_class, data))
        return CallRequest(data, message, in_thread=in_thread)

    async def _receive_stream(self, call: CallContext) -> CallRequest:
        data = await _next(call, self._first)
        if data is EOF:
            return CallRequest(message=call.rpc.request_class(), messages=_nothing())
        message = await self._parse(call, data)
        return CallRequest(data, message, self._all(call, message))

    async def _decode(self, call: CallContext, encoding: Encoding, data: bytes) -> bytes:
        """Return a message in protobuf's binary format."""
        convert = partial(encoding.to_binary, call.rpc.request_class, data)
        in_thread = self.large.of(call.requester, encoding.weight * len(data))
        return convert() if in_thread is None else await in_thread(convert)

    async def _parse(self, call: CallContext, data: bytes) -> Message:
        _check_size(call.rpc, data)
        if call.encoding is not None:
            data = await self._decode(call, call.encoding, data)
        in_thread = self.large.of(call.requester, len(data))
        if in_thread is None:
            return parse_request(call.rpc.request_class, data)
        return await in_thread(partial(parse_request, call.rpc.request_class, data))

    async def _all(self, call: CallContext, first: Message) -> AsyncIterator[Message]:
        """Yield the first message, which is read already, and those that follow."""
        yield first
        is_exchange = call.rpc.server_streams
        waits = self._exchange if is_exchange else self._upload
        while (data := await _next(call, waits)) is not EOF:
            if is_exchange and self._limits is not None:
                while seconds := self._limits.admit_message(call.requester):
                    await self._sleep(seconds)
            yield await self._parse(call, data)


def _check_size(rpc: Rpc, data: bytes) -> None:
    """Refuse a message that is larger than any of the RPC needs to be.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT.
    """
    limit = rpc.max_request_bytes
    if limit is not None and len(data) > limit:
        raise errors.invalid_request({"": f"must have at most {limit} bytes"})


async def _next(call: CallContext, waits: IdleLimit) -> Any:
    """Return the next message, or `EOF`.

    Raises:
        errors.TaskgateError: it did not come in time, or the server is shutting down.
    """
    try:
        return await waits.wait(unless_left(call.wire.read()))
    except TimeoutError:
        raise errors.OwnError(
            errors.Reason.REQUEST_IDLE,
            f"no request message arrived for {waits.seconds:g} s: send the next one sooner, or end"
            " the stream",
            metadata={"limit": "request_idle_seconds"},
        ) from None
    except EndedError:
        raise errors.ServerStoppingError() from None


async def _nothing() -> AsyncIterator[Message]:
    return
    yield
