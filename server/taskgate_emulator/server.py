"""The HTTP face of the emulator: aiohttp in front of a `Dispatcher`.

aiohttp's own router is left out. It would decode and tidy paths before anybody could see them,
and an encoded slash or a `..` in an id must reach the routing as it was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from taskgate_emulator.answers import HttpAnswer
from taskgate_emulator.dispatch import Dispatcher, HttpRequest
from taskgate_emulator.errors import RequestTooLargeError
from taskgate_emulator.state import Account
from taskgate_emulator.world import World

__all__ = ["serve_until"]

_MOVE_SECONDS = 0.05
_DRAIN_SECONDS = 1.0
"""How long answers under way may take once the emulator is asked to stop; all are immediate."""


async def serve_until(
    stop: asyncio.Event,
    world: World,
    host: str,
    port: int,
    ready: Callable[[str], None],
) -> None:
    """Serve until the event is set, then close every socket.

    Args:
        stop: ends the serving.
        world: answers the requests, and moves on between them.
        host: the address to listen on.
        port: 0 takes any that is free.
        ready: is told the URL of the endpoint, once it can be called.

    Raises:
        OSError: the address is in use or not ours.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return _to_aiohttp(await _answer(world.dispatcher, request))

    runner = web.ServerRunner(
        web.Server(handle), access_log=None, handle_signals=False, shutdown_timeout=_DRAIN_SECONDS
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        ready(_url(host, runner))
        moving = asyncio.create_task(_move(world.account))
        try:
            await stop.wait()
        finally:
            moving.cancel()
    finally:
        await runner.cleanup()
        world.close()


async def _move(account: Account) -> None:
    """Let things happen when nobody asks, so that events go out and workers work."""
    while True:
        due = account.next_due
        # The clock may be a test's, which nobody can wait for: it is looked at, often enough.
        if due is not None and due <= account.clock():
            account.settle()
        await asyncio.sleep(_MOVE_SECONDS)


async def _answer(dispatcher: Dispatcher, request: web.BaseRequest) -> HttpAnswer:
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
        return dispatcher.refuse(RequestTooLargeError())
    return dispatcher.answer(
        HttpRequest(
            method=request.method,
            raw_path=raw_path,
            query=query,
            headers=request.headers,
            body=body,
        )
    )


def _to_aiohttp(answer: HttpAnswer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _url(host: str, runner: web.ServerRunner) -> str:
    listening = runner.addresses[0]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening[1]}"
