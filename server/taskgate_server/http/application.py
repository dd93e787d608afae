"""Routes HTTP requests: RPCs, the OpenAPI document, and the files of the console."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from taskgate_server.http.origins import Header, Origins
from taskgate_server.http.rpc_application import RpcApplication
from taskgate_server.http.static_files import SECURITY_HEADERS, StaticFile
from taskgate_server.telemetry.logs import log_bug

Scope: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

OPENAPI_PATH: Final = "/openapi.json"
CHUNK_BYTES: Final = 64 * 1024
"""What is passed to the connection at once: the rest waits until the client has read."""

SEND_SECONDS: Final = 60.0
"""How long a client may take to read a file."""

NO_STORE: Final = (b"cache-control", b"no-store")
"""Responses of RPCs are as fresh as their callers demand, and may be secret."""

REVALIDATE: Final = (b"cache-control", b"no-cache")
"""A file may change with the next version; the browser's copy is compared by ETag."""

WITHOUT_CONTENT: Final = (204, 304)

NOT_FOUND: Final = 404
NOT_IMPLEMENTED: Final = 501

NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")

GRPC: Final = b"application/grpc"
GRPC_WEB: Final = b"application/grpc-web"
GRPC_REFUSAL: Final = (
    "gRPC needs HTTP/2, which this port does not have: call the port for gRPC, or use Connect or "
    "gRPC-Web here"
)
"""A client for gRPC never sees it, because it speaks HTTP/2 only; one behind a proxy may."""


class HttpApplication:
    """The ASGI application of the HTTP port.

    Args:
        rpcs: serves RPCs.
        files: the files of the console by path.
        load_openapi: returns the OpenAPI document; called in a thread, once.
        origins: whose pages may call.
    """

    def __init__(
        self,
        rpcs: RpcApplication,
        files: Mapping[str, StaticFile],
        load_openapi: Callable[[], bytes],
        origins: Origins,
    ) -> None:
        self._rpcs = rpcs
        self._files = files
        self._load_openapi = load_openapi
        self._openapi: asyncio.Future[StaticFile] | None = None
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        headers = dict(scope["headers"])
        method, path = scope["method"], scope["path"]
        try:
            if fault := self._origins.refusal(headers):
                await _send_error(send, 403, "permission_denied", fault)
            elif method == "OPTIONS":
                cors = [*self._origins.headers(headers), *self._origins.preflight()]
                await _send(send, 204, cors, b"")
            elif _is_grpc(headers.get(b"content-type", b"")):
                await _send_error(send, 415, "unimplemented", GRPC_REFUSAL)
            elif method == "POST" or self._rpcs.has(path):
                more = [NO_STORE, NO_SNIFFING, *self._origins.headers(headers)]
                is_known = self._rpcs.has(path)
                await self._rpcs(scope, receive, _Sender(send, more, is_known=is_known))
            elif method not in ("GET", "HEAD"):
                await _send_error(send, 405, "unimplemented", "use GET or POST")
            else:
                await self._send_file(path, headers, send)
        except Exception as error:
            log_bug(error, path_known=self._rpcs.has(path))
            raise

    async def _send_file(self, path: str, headers: Mapping[bytes, bytes], send: Send) -> None:
        file = self._files.get(path)
        if path == OPENAPI_PATH:
            file = await self._find_openapi()
        if file is None:
            await _send_error(send, 404, "not_found", "this server has no such page")
            return
        etag = file.etag.encode()
        common = [*SECURITY_HEADERS, REVALIDATE, (b"etag", etag), *self._origins.headers(headers)]
        if etag in headers.get(b"if-none-match", b""):
            await _send(send, 304, common, b"")
            return
        async with asyncio.timeout(SEND_SECONDS):
            common.append((b"content-type", file.content_type.encode()))
            content = file.content
            if file.compressed is not None:
                common.append((b"vary", b"accept-encoding"))
                if b"gzip" in headers.get(b"accept-encoding", b""):
                    common.append((b"content-encoding", b"gzip"))
                    content = file.compressed
            await _send(send, 200, common, content)

    async def _find_openapi(self) -> StaticFile:
        """Return the document; it is made once, beside the event loop."""
        if self._openapi is None:
            loading = asyncio.to_thread(self._load_openapi)
            self._openapi = asyncio.ensure_future(_as_json_file(loading))
        return await asyncio.shield(self._openapi)


def _is_grpc(content_type: bytes) -> bool:
    media_type = content_type.lower()  # RFC 9110, section 8.3.1
    return media_type.startswith(GRPC) and not media_type.startswith(GRPC_WEB)


async def _as_json_file(content: Awaitable[bytes]) -> StaticFile:
    return StaticFile.of(await content, "application/json")


class _Sender:
    """Adds headers to the response of an RPC, and its length if it has one part.

    Args:
        send: ASGI's.
        headers: to add.
        is_known: whether there is such an RPC. If not, the status is 404, as Connect's servers
            send it; the error in the body has the code `unimplemented`, as over gRPC.
    """

    def __init__(self, send: Send, headers: Iterable[Header], *, is_known: bool) -> None:
        self._send = send
        self._headers = headers
        self._is_known = is_known
        self._start: Any = None

    async def __call__(self, event: Any) -> None:
        if event["type"] == "http.response.start":
            event["headers"] = [*event["headers"], *self._headers]
            if event["status"] == NOT_IMPLEMENTED and not self._is_known:
                event["status"] = NOT_FOUND
            self._start = event
            return
        start, self._start = self._start, None
        if start is not None:
            if event["type"] == "http.response.body" and not event.get("more_body"):
                length = str(len(event.get("body", b""))).encode()
                start["headers"].append((b"content-length", length))
            await self._send(start)
        await self._send(event)


async def _send_error(send: Send, status: int, code: str, message: str) -> None:
    """Send an error in Connect's form."""
    content = json.dumps({"code": code, "message": message}).encode()
    headers = [(b"content-type", b"application/json"), NO_STORE, NO_SNIFFING]
    await _send(send, status, headers, content)


async def _send(send: Send, status: int, headers: Iterable[Header], content: bytes) -> None:
    fields = list(headers)
    if status not in WITHOUT_CONTENT:
        fields.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    view = memoryview(content)
    for start in range(0, len(content), CHUNK_BYTES):
        part = bytes(view[start : start + CHUNK_BYTES])
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
