"""Sends boto3's requests with aiohttp, on the event loop (hook `before-send`).

boto3 has prepared and signed the request, and parses the response. As in botocore's own HTTP
session (`botocore.httpsession`), redirects are not followed, bodies are not decompressed, proxies
come from the environment, and errors have the same types.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import aiohttp
import botocore.exceptions as aws
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import ProxyConfiguration, create_urllib3_context, get_cert_path
from botocore.utils import get_environ_proxies
from yarl import URL

from taskgate_server.upstream.aws_client import greenlets
from taskgate_server.upstream.aws_client.uploads import UploadBody

IDLE_SECONDS: Final = 60.0
"""How long a connection is kept for the next call. AWS may close it sooner."""

MAX_HEADER_BYTES: Final = 65536
"""Of one header, as http.client allows."""

MAX_ORIGINS: Final = 64
"""Whose proxies are remembered; an AWS service usually has a few."""

FIRST_ERROR_STATUS: Final = 300

OMITTED_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add; boto3 has set those that it wants."""


def proxy_of(url: str) -> str | None:
    """Return the URL of the proxy for a URL, or None, by the environment as botocore reads it."""
    proxy: str | None = ProxyConfiguration(get_environ_proxies(url)).proxy_url_for(url)
    return proxy


def make_ssl_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return a context for connections to AWS.

    Args:
        ca_bundle: path of a file, or None for botocore's own bundle.

    Raises:
        OSError: the bundle cannot be read.
    """
    context: ssl.SSLContext = create_urllib3_context()
    context.load_verify_locations(ca_bundle or get_cert_path(verify=True))
    return context


class _Body:
    """The body of a response that has been read, as botocore reads it."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data


class _Stream:
    """The body of a response that is read while it arrives; for code in a greenlet.

    Args:
        response: aiohttp's.
        url: for errors.
        on_closed: called when it is closed.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, url: str, on_closed: Callable[[], None]
    ) -> None:
        self._response = response
        self._url = url
        self._on_closed: Callable[[], None] | None = on_closed

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end.

        Raises:
            botocore.exceptions.BotoCoreError: the body ended early or stalled.
        """
        return greenlets.wait(self._read(size))

    def close(self) -> None:
        """Close the connection, unless the body has been read."""
        self._response.close()
        if self._on_closed is not None:
            self._on_closed()
            self._on_closed = None

    async def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        try:
            while size and (part := await self._response.content.read(size)):
                parts.append(part)
                size -= len(part)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _raise(error, self._url)
        return b"".join(parts)


@dataclass(slots=True, kw_only=True)
class Transport:
    """Connections to one AWS service.

    Calls are limited by the rate limiter; there is no limit of connections.
    """

    ssl_context: ssl.SSLContext | None
    """None if all endpoints are in plaintext."""
    connect_timeout: float
    """Seconds, for TCP and TLS together."""
    read_timeout: float
    """Maximum seconds without a byte of the response."""
    _session: aiohttp.ClientSession | None = field(default=None, init=False)
    _proxies: dict[str, str | None] = field(default_factory=dict, init=False)
    """By scheme and host. Callers choose hosts where a parameter becomes a part of them."""
    _exchanges: int = field(default=0, init=False)
    """Requests in flight, and responses that are still read."""
    _is_retired: bool = field(default=False, init=False)
    _closing: asyncio.Task[None] | None = field(default=None, init=False)

    def send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """Send a request; the hook, which runs in a greenlet.

        Raises:
            botocore.exceptions.HTTPClientError: there is no response.
        """
        return greenlets.wait(self._exchange(request))

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def retire(self) -> None:
        """Close all connections as soon as the present calls and downloads have ended."""
        self._is_retired = True
        if not self._exchanges:
            await self.close()

    def _end_exchange(self) -> None:
        self._exchanges -= 1
        if self._is_retired and not self._exchanges:
            self._closing = asyncio.ensure_future(self.close())

    async def _exchange(self, request: AWSPreparedRequest) -> AWSResponse:
        url = request.url
        session = self._session or self._open()
        self._exchanges += 1
        raw: _Body | _Stream | None = None
        try:
            async with asyncio.timeout(None) as scope:
                response = await session.request(
                    request.method,
                    URL(url, encoded=True),
                    headers=_headers(request.headers),
                    data=self._limited(request.body, scope),
                    allow_redirects=False,
                    proxy=self._proxy_of(url),
                    ssl=self.ssl_context if self.ssl_context is not None else True,
                    skip_auto_headers=OMITTED_HEADERS,
                )
            if request.stream_output and response.status < FIRST_ERROR_STATUS:
                raw = _Stream(response, url, self._end_exchange)
            else:
                raw = _Body(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _raise(error, url)
        finally:
            if not isinstance(raw, _Stream):
                self._end_exchange()
        headers: Any = _joined(response.raw_headers)  # the stubs want urllib3's class
        return AWSResponse(url, response.status, headers, raw)

    def _limited(self, body: Any, scope: asyncio.Timeout) -> Any:
        """Return a body; AWS may take as long to receive a part of an upload as to respond."""
        if not isinstance(body, UploadBody):
            return body

        async def parts() -> AsyncIterator[bytes]:
            now = asyncio.get_running_loop().time
            async for part in body:
                scope.reschedule(now() + self.read_timeout)
                yield part
                scope.reschedule(None)  # the caller has its own limit for the next part

        return parts()

    def _proxy_of(self, url: str) -> str | None:
        origin = url[: url.find("/", url.index("//") + 2)]
        if origin not in self._proxies:
            if len(self._proxies) >= MAX_ORIGINS:
                self._proxies.clear()
            self._proxies[origin] = proxy_of(origin)
        return self._proxies[origin]

    def _open(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=IDLE_SECONDS, socket_factory=_make_socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self.connect_timeout, sock_read=self.read_timeout
            ),
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        # aiohttp would repeat GET, PUT and DELETE by itself if a kept connection breaks. Taskgate's
        # retries know which calls AWS may execute twice, and count them. There is no public option.
        session._retry_connection = False  # noqa: SLF001  # see above
        self._session = session
        return session


def _make_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setblocking(False)  # noqa: FBT003  # the method takes no name
    return made


def _headers(headers: Any) -> dict[str, str]:
    """Return the headers of a request as text; botocore has encoded them."""
    own = {} if "Accept-Encoding" in headers else {"Accept-Encoding": "identity"}  # http.client's
    return own | {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in headers.items()
    }


def _joined(headers: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    """Return the headers of a response as urllib3 does: in Latin-1, repeated ones joined."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _raise(error: Exception, url: str) -> NoReturn:
    """Raise botocore's exception for an error of aiohttp."""
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            raise aws.SSLError(endpoint_url=url, error=error)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            # Its address may have a password.
            raise aws.ProxyConnectionError(proxy_url="", error=type(error).__name__)
        case aiohttp.ClientConnectorError():
            raise aws.EndpointConnectionError(endpoint_url=url, error=error)
        case aiohttp.ConnectionTimeoutError():
            raise aws.ConnectTimeoutError(endpoint_url=url, error=error)
        case TimeoutError():
            raise aws.ReadTimeoutError(endpoint_url=url, error=error)
        case aiohttp.ClientPayloadError():
            raise aws.ResponseStreamingError(error=error)
        case _:
            raise aws.ConnectionClosedError(endpoint_url=url, error=error)
