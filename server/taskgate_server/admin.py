"""The admin port: `/metrics` over HTTP for Prometheus, without values of callers.

This is prometheus_client's server with three additions that its `start_http_server` has no options
for: other paths are not found, requests have a deadline, and threads are bounded. Each connection
takes a thread, so that rendering thousands of lines delays no RPC. When all threads are in use, the
oldest connection whose request has not arrived is closed, so that scrapes succeed beside any number
of idle connections.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import TCPServer
from threading import BoundedSemaphore, Lock, Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from taskgate_server.telemetry.logs import LOG, log_bug

MAX_CONNECTIONS: Final = 8
"""Each has a thread."""

REQUEST_SECONDS: Final = 10.0
"""The longest time from a connection to the end of its response."""

EVICTION_SECONDS: Final = 1.0
"""How long a new connection waits for the thread of the one that was closed for it."""


@dataclass(slots=True)
class _Connection:
    accepted_at: float
    request_arrived: bool = False


class _Handler(WSGIRequestHandler):
    server: _Server

    def get_environ(self) -> dict[str, Any]:
        """Note that the request has arrived, and return the WSGI environment."""
        self.server.note_request(self.connection)
        return super().get_environ()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Log nothing: scrapes are not worth lines."""


class _Server(ThreadingWSGIServer):
    request_queue_size = 128
    request_seconds = REQUEST_SECONDS

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._connections: dict[socket.socket, _Connection] = {}
        self._lock = Lock()
        self._threads_left = BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without the base class's DNS lookup of the machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def note_request(self, connection: socket.socket) -> None:
        """Protect a connection from eviction, because its request has arrived."""
        with self._lock:
            if connection in self._connections:
                self._connections[connection].request_arrived = True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; evict another one if all threads are in use."""
        if not self._threads_left.acquire(blocking=False):
            self._evict()
            if not self._threads_left.acquire(timeout=EVICTION_SECONDS):
                super().shutdown_request(request)
                return
        with self._lock:
            self._connections[request] = _Connection(time.monotonic())
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and free its thread. Called at the end of the thread."""
        with self._lock:
            del self._connections[request]
        super().shutdown_request(request)
        self._threads_left.release()

    def service_actions(self) -> None:
        """Close connections past their deadline; the base class calls this twice a second.

        A timeout of the socket would limit each read alone: a client that sends a byte at a time
        could hold its thread forever.
        """
        oldest = time.monotonic() - self.request_seconds
        with self._lock:
            for connection, state in self._connections.items():
                if state.accepted_at < oldest:
                    _shut_down(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # overrides
        """Log an unexpected error; OSError means that either side closed the connection."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            log_bug(error, thread="admin-request")

    def _evict(self) -> None:
        with self._lock:  # dictionaries are in the order of insertion: the first is the oldest
            for connection, state in self._connections.items():
                if not state.request_arrived:
                    _shut_down(connection)
                    return


def _shut_down(connection: socket.socket) -> None:
    """End reads and writes of a connection, so that its thread ends."""
    with suppress(OSError):  # the client closed it first
        connection.shutdown(socket.SHUT_RDWR)


class Admin:
    """Serves the metrics; a `calls.Background`.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        registry: the metrics.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.host = host
        self.port = port
        self._metrics = make_wsgi_app(registry)
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken, or the address is not one of this machine.
        """
        self._server = _Server(self.host, self.port)
        self._server.set_app(self._serve)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, name="admin", daemon=True).start()
        LOG.info("listening for admin", extra={"address": f"{self.host}:{self.port}"})

    def stop(self) -> None:
        """Do nothing: metrics show how the server drains."""

    async def close(self) -> None:
        """End the server."""
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()

    def _serve(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            respond("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not found: use /metrics\n"]
        response: Iterable[bytes] = self._metrics(environ, respond)
        return response
