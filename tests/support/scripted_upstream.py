"""An HTTP server whose responses are bytes of a test; also a proxy, since it takes any target."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-amzn-RequestId: r-1\r\n"


def ok(body: bytes = b"{}", headers: bytes = b"") -> bytes:
    """Return a response with a JSON body."""
    return JSON + headers + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


@dataclass
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Respond: TypeAlias = Callable[[Request], Awaitable[bytes]]
"""Returns the bytes that are sent; nothing to close the connection."""


@dataclass
class ScriptedUpstream:
    """What a server has received."""

    respond: Respond
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    opened: int = 0
    received: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request has come."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has closed a connection."""
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)
    """The connections that are open, and the tasks that serve them."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until it is closed."""
        task = asyncio.current_task()
        assert task is not None
        self.serving[task] = writer
        try:
            await self._serve(reader, writer)
        finally:
            del self.serving[task]

    async def close(self) -> None:
        """Close all connections."""
        for writer in self.serving.values():
            writer.transport.abort()
        if self.serving:
            await asyncio.wait(self.serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.opened = self.opened, self.opened + 1
        watching: asyncio.Task[None] | None = None
        try:
            while (request := await _read(reader, number)) is not None:
                self.requests.append(request)
                self.received.set()
                responding = asyncio.ensure_future(self.respond(request))
                watching = asyncio.ensure_future(self._watch(reader, responding))
                response = await responding
                watching.cancel()
                await asyncio.wait([watching])
                if not response:
                    break
                writer.write(response)
                await writer.drain()
            if watching is not None:  # not one that was only opened
                self.closed.set()
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            if watching is not None:
                watching.cancel()
            writer.close()

    async def _watch(self, reader: asyncio.StreamReader, responding: asyncio.Future[bytes]) -> None:
        # The client sends nothing more before it has the response.
        if not await reader.read(1):
            self.closed.set()
            responding.cancel()


async def _read(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, connection)


@asynccontextmanager
async def scripted(
    respond: Respond, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedUpstream]:
    """Run a server in the running loop."""
    upstream = ScriptedUpstream(respond)
    server = await asyncio.start_server(upstream.accept, "127.0.0.1", 0, ssl=tls)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close()


def always(response: bytes) -> Respond:
    """Return a script that gives the same response to every request."""

    async def respond(_: Request) -> bytes:
        return response

    return respond


async def hang(_: Request) -> bytes:
    """Never respond."""
    await asyncio.Event().wait()
    return b""
