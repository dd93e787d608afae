"""The HTTP face of the emulator: aiohttp in front of a `Dispatcher`.

aiohttp's own router is left out. It would decode and tidy paths before anybody could see them,
and an encoded slash or a `..` in an id must reach the routing as it was sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from taskgate_emulator.core.dispatch import Dispatcher, HttpRequest
from taskgate_emulator.core.errors import RequestTooLargeError
from taskgate_emulator.core.moto_services import NAMES as MOTO_SERVICES
from taskgate_emulator.core.moto_services import signed_service
from taskgate_emulator.core.registry import Registry
from taskgate_emulator.core.responses import HttpResponse
from taskgate_emulator.core.state import Account

__all__ = ["serve_until"]

_MOVE_SECONDS = 0.05
_MOTO_THREADS = 64
_DRAIN_SECONDS = 1.0
"""How long answers under way may take once the emulator is asked to stop; all are immediate."""


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
        port: 0 takes any that is free.
        ready: is told the URL of the endpoint, once it can be called.

    Raises:
        OSError: the address is in use or not ours.
    """
    # A long poll holds its thread; threads are made as they are needed.
    pool = ThreadPoolExecutor(_MOTO_THREADS, "taskgate-emulator-moto")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        service = signed_service(request.headers.get("Authorization", ""))
        if service in MOTO_SERVICES:
            response = await _handle_moto_request(registry, pool, service, request)
        else:
            response = await _handle_aws_request(registry.dispatcher, request)
        return await _deliver(request, response)

    runner = web.ServerRunner(
        web.Server(handle), access_log=None, handle_signals=False, shutdown_timeout=_DRAIN_SECONDS
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        ready(_url(host, runner))
        moving = asyncio.create_task(_move(registry.account))
        try:
            await stop.wait()
        finally:
            moving.cancel()
    finally:
        await runner.cleanup()
        pool.shutdown(wait=False, cancel_futures=True)
        registry.close()


async def _handle_moto_request(
    registry: Registry, pool: ThreadPoolExecutor, service: str, request: web.BaseRequest
) -> HttpResponse:
    body = await request.read()
    registry.record_moto_request(service, request.method, request.raw_path, request.headers, body)
    registry.moto_services.prepare(service)
    return await asyncio.get_running_loop().run_in_executor(
        pool,
        registry.moto_services.response,
        service,
        request.method,
        request.raw_path,
        request.headers,
        body,
    )


async def _move(account: Account) -> None:
    """Let things happen when nobody asks, so that events go out and workers work."""
    while True:
        due = account.next_due
        # The clock may be a test's, which nobody can wait for: it is looked at, often enough.
        if due is not None and due <= account.clock():
            account.settle()
        await asyncio.sleep(_MOVE_SECONDS)


async def _handle_aws_request(dispatcher: Dispatcher, request: web.BaseRequest) -> HttpResponse:
    if request.headers.get("Expect", "").lower() == "100-continue":
        # botocore holds the body of every PUT back until it is asked for. aiohttp asks only in
        # its router, which is not here.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    # The request line itself: `request.path` is decoded.
    raw_path, _, query = request.raw_path.partition("?")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return dispatcher.reject(RequestTooLargeError())
    return dispatcher.response(
        HttpRequest(
            method=request.method,
            raw_path=raw_path,
            query=query,
            headers=request.headers,
            body=body,
        )
    )


async def _deliver(request: web.BaseRequest, response: HttpResponse) -> web.StreamResponse:
    """Send an answer the way it is to go, faults included."""
    if response.delivery == "latency":
        await asyncio.sleep(response.delay)
    elif response.delivery == "hang":
        await asyncio.Event().wait()  # until the caller has gone, or the emulator stops
    elif response.delivery in {"reset", "cut"}:
        await _break_off(request, response)
    return web.Response(status=response.status, headers=response.headers, body=response.body)


async def _break_off(request: web.BaseRequest, response: HttpResponse) -> None:
    transport = request.transport
    if transport is None:
        return
    if response.delivery == "cut":
        # A length that is not reached, so that no client takes the half for the whole.
        head = f"HTTP/1.1 {response.status} OK\r\nContent-Length: {len(response.body) + 1}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        half = response.body[: len(response.body) // 2]
        transport.write(f"{head}{lines}\r\n".encode() + half)
        transport.close()
    else:
        sock = transport.get_extra_info("socket")
        # With no time to linger, the close is a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _url(host: str, runner: web.ServerRunner) -> str:
    listening = runner.addresses[0]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening[1]}"
