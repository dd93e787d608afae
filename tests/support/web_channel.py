"""A channel of grpc.aio's form that makes its calls with gRPC-Web, to a server's HTTP port.

Suites that are written for a gRPC channel run against the HTTP port with it. Each call has an
HTTP/1.1 connection of its own, or one that an earlier call has left.
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import aiohttp
import grpc

MEDIA_TYPE = "application/grpc-web+proto"
IS_TRAILERS = 0x80
PREFIX = struct.Struct(">BI")
CODES = {code.value[0]: code for code in grpc.StatusCode}

Metadata = Sequence[tuple[str, str]]
Parse = Callable[[bytes], Any]
Write = Callable[[Any], bytes]


class WebCallError(grpc.RpcError):
    """An error of a call, with the accessors of an error of gRPC's client."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[()]:
        """Return nothing: the suites need no error details."""
        return ()


class WebStream:
    """The response of a call, as a stream of messages."""

    def __init__(self, opening: Any, parse: Parse, timeout: float) -> None:
        self._opening = opening
        self._parse = parse
        self._timeout = timeout
        self._response: aiohttp.ClientResponse | None = None

    async def read(self) -> Any:
        """Return the next message; `grpc.aio.EOF` at the end.

        Raises:
            WebCallError: The call has failed.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._next()
        except TimeoutError:
            self.cancel()
            raise WebCallError(grpc.StatusCode.DEADLINE_EXCEEDED, "no message arrived") from None
        except (aiohttp.ClientError, OSError) as error:
            self.cancel()
            raise WebCallError(grpc.StatusCode.UNAVAILABLE, str(error)) from error

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    def cancel(self) -> None:
        """Close the connection of the call."""
        if self._response is not None:
            self._response.close()

    async def _next(self) -> Any:
        if self._response is None:
            self._response = await self._opening
            _check(self._response.headers)
            if self._response.status != 200:
                self.cancel()
                raise WebCallError(grpc.StatusCode.UNKNOWN, f"HTTP {self._response.status}")
        try:
            flags, length = PREFIX.unpack(await self._response.content.readexactly(PREFIX.size))
            data = await self._response.content.readexactly(length)
        except asyncio.IncompleteReadError:
            raise WebCallError(grpc.StatusCode.UNAVAILABLE, "the response was cut off") from None
        if not flags & IS_TRAILERS:
            return self._parse(data)
        _check(dict(line.split(":", 1) for line in data.decode().split("\r\n") if line))
        await self._response.read()  # so that the next call can have its connection
        return grpc.aio.EOF


class WebChannel:
    """Makes calls with gRPC-Web.

    Args:
        address: Host and port of the server's HTTP port.
    """

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}"
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    def unary_unary(
        self,
        method: str,
        request_serializer: Write = bytes,
        response_deserializer: Parse = bytes,
        **_: Any,
    ) -> Callable[..., asyncio.Task[Any]]:
        """Return an RPC; its calls are tasks, which can be cancelled."""
        streaming = self.unary_stream(method, request_serializer, response_deserializer)

        async def call(request: Any, metadata: Metadata, seconds: float) -> Any:
            stream = streaming(request, metadata=metadata, timeout=seconds)
            try:
                message = await stream.read()
                await stream.read()  # the trailers, which may have an error
            except asyncio.CancelledError:
                stream.cancel()
                raise
            return message

        return lambda request, metadata=(), timeout=60.0: asyncio.ensure_future(
            call(request, metadata, timeout)
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Write = bytes,
        response_deserializer: Parse = bytes,
        **_: Any,
    ) -> Callable[..., WebStream]:
        """Return an RPC with one request message."""
        return lambda request, metadata=(), timeout=60.0: self._open(
            method, _framed(request_serializer(request)), metadata, timeout, response_deserializer
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Write = bytes,
        response_deserializer: Parse = bytes,
        **_: Any,
    ) -> Callable[..., WebStream]:
        """Return an RPC whose request body ends when its messages do."""

        async def body(requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
            async for each in requests:
                yield _framed(request_serializer(each))

        return lambda requests, metadata=(), timeout=60.0: self._open(
            method, body(requests), metadata, timeout, response_deserializer
        )

    stream_unary = stream_stream
    """Stubs have such RPCs, too; the suites do not call them."""

    def _open(
        self, method: str, body: Any, metadata: Metadata, timeout: float, parse: Parse
    ) -> WebStream:
        headers = {
            "content-type": MEDIA_TYPE,
            "grpc-timeout": f"{int(timeout * 1000)}m",
            **dict(metadata),
        }
        opening = self._session.post(f"{self._url}{method}", data=body, headers=headers)
        return WebStream(opening, parse, timeout)


def open_channel(address: str, transport: str) -> Any:
    """Return a channel with connections of its own.

    Args:
        address: Host and port.
        transport: `grpc` or `http`, the protocol of the port.
    """
    if transport == "http":
        return WebChannel(address)
    own = (("grpc.use_local_subchannel_pool", 1),)
    return grpc.aio.insecure_channel(address, options=own)


def _framed(message: bytes) -> bytes:
    return PREFIX.pack(0, len(message)) + message


def _check(trailers: Any) -> None:
    """Raise the error that headers or trailers report, if any."""
    code = CODES[int(trailers.get("grpc-status", "0"))]
    if code is not grpc.StatusCode.OK:
        raise WebCallError(code, unquote(trailers.get("grpc-message", "")))
