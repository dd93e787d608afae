"""The HTTP server of the emulator: aiohttp in front of a `Dispatcher`.

It does not use aiohttp's router, which decodes and normalizes paths: an encoded slash or a `..` in
an id must reach the emulator's router unchanged.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from taskgate_emulator.core.dispatch import Dispatcher, HttpRequest
from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.moto_services import SERVICES as MOTO_SERVICES
from taskgate_emulator.core.moto_services import operation_of
from taskgate_emulator.core.observation import RecordedRequest
from taskgate_emulator.core.registry import Region, Registry
from taskgate_emulator.core.responses import HttpResponse, json_body
from taskgate_emulator.core.signatures import signed_scope

__all__ = ["serve_until"]

_ADVANCE_INTERVAL = 0.05
_MOTO_THREADS = 64
_STEPS = 5
"""Of the event loop: more than asyncio takes between `accept` and `connection_made`, so that no
connection is overlooked, and between `abort` and the end of the socket."""

_XML_SERVICES = frozenset({"cloudfront", "route53", "s3-outposts", "s3-control"})
"""Services whose errors are XML, apart from those with forms as requests."""

_MAX_BODY_BYTES = 4 * 1024**2
"""Of Deadline Cloud and HealthOmics. AWS publishes no limit, but takes what their models allow: a
template of 1,000,000 characters may have four bytes for each."""
_MAX_OBJECT_BYTES = 1024**3
"""Of a request to S3; the server holds it in memory."""

_DRAIN_SECONDS = 1.0
"""How long in-flight responses may take when the emulator stops; all are immediate."""


async def serve_until(
    stop: asyncio.Event,
    registry: Registry,
    host: str,
    port: int,
    ready: Callable[[str], None],
) -> None:
    """Serve until the event is set, then close every socket.

    Args:
        stop: ends the serving.
        registry: the emulated AWS to serve.
        host: the address to listen on.
        port: 0 for a free port.
        ready: is called with the endpoint's URL once it accepts requests.

    Raises:
        OSError: the address is in use or not local.
    """
    # A long poll occupies a thread; threads are created on demand.
    pool = ThreadPoolExecutor(_MOTO_THREADS, "taskgate-emulator-moto")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        scope = signed_scope(request.headers, request.raw_path)
        region = registry.region(scope.region if scope else None)
        service = scope.service if scope else None
        if service in MOTO_SERVICES:
            response = await _handle_moto_request(registry, region, pool, service, request)
        elif service is None or service in region.dispatcher.signing_names:
            response = await _handle_aws_request(region.dispatcher, request)
        else:
            response = await _reject_unknown_service(service, request)
        return await _deliver(request, response)

    runner = web.ServerRunner(
        web.Server(handle, request_factory=_make_request),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_DRAIN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        ready(_url(host, runner))
        advancing = asyncio.create_task(_advance_time(registry))
        try:
            await stop.wait()
        finally:
            advancing.cancel()
    finally:
        await _close(runner)
        pool.shutdown(wait=False, cancel_futures=True)
        registry.close()


def _make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Return a request with the limit of its service on the body."""
    scope = signed_scope(message.headers, message.path)
    limit = _MAX_OBJECT_BYTES if scope and scope.service == "s3" else _MAX_BODY_BYTES
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit)


async def _close(runner: web.ServerRunner) -> None:
    """Close every socket, also those of clients that do not read their response."""
    for site in runner.sites:
        await site.stop()
    await _make_steps()
    connections = runner.server.connections if runner.server is not None else []
    transports = [connection.transport for connection in connections]
    await runner.cleanup()
    for transport in transports:
        if transport is not None:
            transport.abort()
    await _make_steps()


async def _make_steps() -> None:
    for _ in range(_STEPS):
        await asyncio.sleep(0)


async def _handle_moto_request(
    registry: Registry,
    region: Region,
    pool: ThreadPoolExecutor,
    service: str,
    request: web.BaseRequest,
) -> HttpResponse:
    await _send_continue(request)
    body = await request.read()
    raw_path, _, query = request.raw_path.partition("?")
    registry.recorder.add(
        RecordedRequest(
            method=request.method,
            raw_path=raw_path,
            query=query,
            headers=request.headers,
            body=body,
            service=service,
            operation=operation_of(request.headers, body),
        )
    )
    region.moto_services.prepare(service)
    return await asyncio.get_running_loop().run_in_executor(
        pool,
        region.moto_services.handle,
        service,
        request.method,
        request.raw_path,
        request.headers,
        body,
    )


async def _reject_unknown_service(service: str, request: web.BaseRequest) -> HttpResponse:
    """Return 501 for a service of AWS that is not emulated, in the form of its protocol."""
    await request.read()
    code, message = "NotImplemented", f"The emulator does not have the AWS service {service}"
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    body = json_body({"__type": code, "message": message})
    kind = request.headers.get("Content-Type", "")
    if kind.startswith("application/x-www-form-urlencoded") or service in _XML_SERVICES:
        headers["Content-Type"] = "text/xml"
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}</ErrorResponse>".encode()
    return HttpResponse(status=HTTPStatus.NOT_IMPLEMENTED, headers=headers, body=body)


async def _advance_time(registry: Registry) -> None:
    """Apply due changes between requests, so that events are sent and workers work."""
    while True:
        for region in registry.regions:
            due = region.account.next_due
            # The clock may be a test's, which has no timers, so it is polled.
            if due is not None and due <= region.account.clock():
                region.account.settle()
        await asyncio.sleep(_ADVANCE_INTERVAL)


async def _send_continue(request: web.BaseRequest) -> None:
    """Ask for the body of a request that waits for it, as botocore's PUTs do.

    Only aiohttp's router, not used here, would do so.
    """
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


async def _handle_aws_request(dispatcher: Dispatcher, request: web.BaseRequest) -> HttpResponse:
    await _send_continue(request)
    # `request.path` is decoded already.
    raw_path, _, query = request.raw_path.partition("?")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"The request body is larger than {_MAX_BODY_BYTES} bytes"
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return dispatcher.reject(AwsError("RequestEntityTooLarge", message, status=status))
    received = HttpRequest(
        method=request.method,
        raw_path=raw_path,
        query=query,
        headers=request.headers,
        body=body,
    )
    computation = dispatcher.computation(received)
    if computation is not None:
        await asyncio.to_thread(computation)
    return dispatcher.handle(received)


async def _deliver(request: web.BaseRequest, response: HttpResponse) -> web.StreamResponse:
    """Send a response, with its delivery fault."""
    if response.delivery == "latency":
        await asyncio.sleep(response.delay)
    elif response.delivery == "hang":
        await asyncio.Event().wait()  # until the caller disconnects or the emulator stops
    elif response.delivery in {"reset", "cut"}:
        await _break_off(request, response)
    return web.Response(status=response.status, headers=response.headers, body=response.body)


async def _break_off(request: web.BaseRequest, response: HttpResponse) -> None:
    transport = request.transport
    if transport is None:
        return
    if response.delivery == "cut":
        # The length is never reached, so that clients detect the truncation.
        head = f"HTTP/1.1 {response.status} OK\r\nContent-Length: {len(response.body) + 1}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        first_half = response.body[: len(response.body) // 2]
        transport.write(f"{head}{lines}\r\n".encode() + first_half)
        transport.close()
    else:
        sock = transport.get_extra_info("socket")
        # Closing a socket without lingering resets the connection.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _url(host: str, runner: web.ServerRunner) -> str:
    listening = runner.addresses[0]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening[1]}"
