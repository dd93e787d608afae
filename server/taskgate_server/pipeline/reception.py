"""Reception: the request message, or the first one of a client stream, is read.

It comes after authentication and rate limits, so that a caller without identity cannot make the
server hold messages. A message that does not arrive in time ends the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.calls import Call, Rpc, parse_request
from taskgate_server.guard.limits import CallerLimits
from taskgate_server.pipeline.idle import IdleLimit
from taskgate_server.pipeline.response import unless_left
from taskgate_server.pipeline.stage import Enter

EOF: Final = grpc.aio.EOF


class Reception:
    """Reads requests.

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
        self._idle = IdleLimit(idle_seconds)
        self._limits = limits
        self._sleep = sleep

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        if not rpc.has_request:
            return None
        if not rpc.client_streams:
            return self._receiving(rpc)
        counted = rpc.server_streams and self._limits is not None

        async def receive_first(call: Call) -> None:
            first = await self._next(call)
            if first is EOF:
                call.message = rpc.request_class()
                call.requests = _nothing()
                return
            call.data = first
            call.message = parse_request(rpc.request_class, first)
            call.requests = self._all(rpc, call, call.message, counted=counted)

        return receive_first

    def _receiving(self, rpc: Rpc) -> Enter:
        limit = rpc.max_request_bytes

        async def receive(call: Call) -> None:
            data = await self._next(call)
            if data is EOF:
                raise errors.invalid_request({"": "the call ended without a request message"})
            if limit is not None and len(data) > limit:
                raise errors.invalid_request({"": f"must have at most {limit} bytes"})
            call.data = data

        return receive

    async def _all(
        self, rpc: Rpc, call: Call, first: Message, *, counted: bool
    ) -> AsyncIterator[Message]:
        """Yield the first message, which is read already, and those that follow."""
        yield first
        while (data := await self._next(call)) is not EOF:
            if counted and self._limits is not None:
                while seconds := self._limits.admit_message(call.requester):
                    await self._sleep(seconds)
            yield parse_request(rpc.request_class, data)

    async def _next(self, call: Call) -> Any:
        if call.read is None:
            return EOF
        try:
            return await self._idle.wait(unless_left(call.read()))
        except TimeoutError:
            raise errors.request_idle(self._idle.seconds) from None


async def _nothing() -> AsyncIterator[Message]:
    return
    yield
