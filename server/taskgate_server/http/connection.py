"""A connection of the HTTP port: uvicorn's protocol with limits on what a client can hold.

uvicorn bounds neither the size of headers, nor the time until they have arrived, nor the number of
pipelined requests. The time until the body has arrived is bounded by `pipeline.reception`.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from taskgate_server.http.peer import peer_of

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

MAX_HEADER_BYTES: Final = 32 * 1024
"""The limit of gRPC's metadata, see `server.MAX_METADATA_BYTES`; here with the path and query."""

MAX_HEADERS: Final = 100
MAX_PIPELINED: Final = 4
"""Requests that wait for the response to an earlier one on the same connection."""

HEADER_SECONDS: Final = 10.0
"""How long the headers of a request may take, from the connection or their first byte."""

LINGER_SECONDS: Final = 1.0
"""How long a client may take to receive the response to a request whose body was not read. Its data
is discarded meanwhile: with unread data, closing would reset the connection, and the client might
lose the response."""

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRules:
    """What a connection may do."""

    max_connections: int | None
    """Of all clients; None for no limit."""
    keepalive_seconds: float
    keepalive_timeout_seconds: float
    header_seconds: float = HEADER_SECONDS


class RefusedError(Exception):
    """The headers of a request exceed a limit; raised through the parser, which wraps it."""


class Connection(HttpToolsProtocol):
    """A connection.

    Args:
        rules: its limits.
        config: uvicorn's.
        state: of all connections of the listener.
        loop: the event loop.
    """

    def __init__(
        self,
        rules: ConnectionRules,
        config: Config,
        state: ServerState,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={}, _loop=loop)
        self._rules = rules
        self._is_in_headers = False
        self._header_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        """Closes the connection if headers do not arrive in time."""
        self._announced_close = False
        """Whether the current response says that the connection will be closed."""
        self._is_discarding = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """Begin, or close the connection if there are too many."""
        super().connection_made(transport)
        limit = self._rules.max_connections
        if limit is not None and len(self.connections) > limit:
            transport.abort()
            return
        _keep_alive(transport, self._rules)
        self.app_state = {"peer": peer_of(transport)}
        self._limit_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the requests of the connection."""
        self._end_limit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse data, and bound what it holds."""
        if self._is_discarding:
            return
        if self._is_in_headers:
            self._header_bytes += len(data)
        elif self._is_idle:
            self._header_bytes = len(data)
        if self._is_in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self._refuse()
            return
        super().data_received(data)
        if self._is_in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self._refuse()
        elif self._is_in_headers or self._is_idle:
            self._limit_headers()
        else:
            self._end_limit()

    def on_message_begin(self) -> None:
        """See httptools."""
        self._is_in_headers = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        super().on_url(url)
        if len(self.url) > MAX_HEADER_BYTES:
            raise RefusedError

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            raise RefusedError

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._is_in_headers, self._header_bytes = False, 0
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEADER_BYTES or len(self.pipeline) >= MAX_PIPELINED:
            raise RefusedError
        super().on_headers_complete()
        cycle = self.cycle
        cycle.send = partial(self._send, cycle)  # type: ignore[method-assign]  # uvicorn has no hook

    async def _send(self, cycle: RequestResponseCycle, message: ASGISendEvent) -> None:
        """Send a part of a response, and announce the close if the request's body is arriving."""
        if cycle.more_body and not cycle.response_started:
            self._announced_close = True
            cycle.keep_alive = False  # uvicorn writes `connection: close`
            await RequestResponseCycle.send(cycle, message)
            cycle.keep_alive = True  # or it would close before the client has the response
        else:
            await RequestResponseCycle.send(cycle, message)

    def on_response_complete(self) -> None:
        """See uvicorn. Close the connection if the request's body was not read to its end."""
        is_read = not self.cycle.more_body
        super().on_response_complete()
        if self.transport.is_closing() or (is_read and not self._announced_close):
            return
        self._is_discarding = True
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or exceeds a limit."""
        if self._is_in_headers or len(self.pipeline) >= MAX_PIPELINED:
            self._refuse()
        else:
            super().send_400_response(msg)

    @property
    def _is_idle(self) -> bool:
        """Whether there is no request, except for the headers of the next one."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete

    def _refuse(self) -> None:
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _limit_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._rules.header_seconds, self.transport.abort)

    def _end_limit(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _keep_alive(transport: asyncio.Transport, rules: ConnectionRules) -> None:
    """Let the system end the connection of a client that has vanished, as gRPC's pings do."""
    connection: Any = transport.get_extra_info("socket")
    interval = max(round(rules.keepalive_timeout_seconds / 2), 1)
    options = {
        socket.TCP_KEEPIDLE: max(round(rules.keepalive_seconds), 1),
        socket.TCP_KEEPINTVL: interval,
        socket.TCP_KEEPCNT: 2,
    }
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in options.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
