"""The admin port: `/metrics` over HTTP, for Prometheus. It tells no caller's values.

Each request has a thread of its own, so that writing some thousand lines keeps no RPC waiting.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from taskgate_server.telemetry import LOG

READ_SECONDS: Final = 10.0
"""How long a request may take to come."""


class _Handler(WSGIRequestHandler):
    timeout = READ_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
        """A scrape is not worth a line."""


class _HttpServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Like the base class, which asks the network for this machine's name besides."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _HttpServer6(_HttpServer):
    address_family = socket.AF_INET6


class Admin:
    """Serves the metrics; a `calls.Background`.

    Args:
        host: where to listen.
        port: the same; 0 takes a free one.
        registry: the metrics.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.host = host
        self.port = port
        self._metrics = make_wsgi_app(registry)
        self._server: WSGIServer | None = None

    def start(self) -> None:
        """Listens.

        Raises:
            OSError: the port is taken, or the address is not this machine's.
        """
        kind = _HttpServer6 if ":" in self.host else _HttpServer
        self._server = make_server(
            self.host, self.port, self._serve, server_class=kind, handler_class=_Handler
        )
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, name="admin", daemon=True).start()
        LOG.info("listening for admin", extra={"address": f"{self.host}:{self.port}"})

    def stop(self) -> None:
        """It goes on: how a server drains is worth seeing."""

    async def close(self) -> None:
        """Ends it."""
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()

    def _serve(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            respond("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there is /metrics\n"]
        answer: Iterable[bytes] = self._metrics(environ, respond)
        return answer
