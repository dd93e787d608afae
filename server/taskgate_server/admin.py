"""The admin port: `/metrics` over HTTP, for Prometheus. It shows no caller's values.

Each connection has a thread of its own, so that writing some thousand lines delays no RPC. Threads
are bounded: when all are in use, the oldest connection whose request has not arrived is closed, so
that a scrape succeeds beside any number of connections that send nothing.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import TCPServer
from threading import BoundedSemaphore, Lock, Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from taskgate_server.telemetry import LOG, log_bug

MAX_CONNECTIONS: Final = 8
"""Each has a thread."""

REQUEST_SECONDS: Final = 10.0
"""How long a request and its response may take together."""

EVICTION_SECONDS: Final = 1.0
"""How long a new connection waits for the thread of one that was closed for it."""


@dataclass(slots=True)
class _Connection:
    began_at: float
    is_served: bool = False
    """Whether its request has arrived."""


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def get_environ(self) -> dict[str, Any]:
        """Return what the application receives; the request has arrived."""
        if isinstance(self.server, _HttpServer):
            self.server.serving(self.connection)
        return super().get_environ()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
        """Log nothing: a scrape is not worth a line."""


class _HttpServer(WSGIServer):
    request_queue_size = 128  # of connections to be accepted; beyond it clients retry after 1 s
    request_seconds = REQUEST_SECONDS

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._connections: dict[socket.socket, _Connection] = {}
        self._lock = Lock()
        self._threads = BoundedSemaphore(MAX_CONNECTIONS)

    def server_bind(self) -> None:
        """Bind like the base class, which also looks up this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def serving(self, connection: socket.socket) -> None:
        """Note that the request of a connection has arrived: it is not closed for another one."""
        with self._lock:
            if connection in self._connections:
                self._connections[connection].is_served = True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, and close another one for it where all are in use."""
        if not self._threads.acquire(blocking=False):
            self._close_oldest()
            if not self._threads.acquire(timeout=EVICTION_SECONDS):
                self.shutdown_request(request)
                return
        with self._lock:
            self._connections[request] = _Connection(time.monotonic())
        Thread(
            target=self._serve, args=(request, client_address), name="admin-request", daemon=True
        ).start()

    def service_actions(self) -> None:
        """Close connections past their time; the base class calls this twice a second.

        A time limit of the socket is for each read alone: one byte at a time, a request could take
        for ever.
        """
        oldest = time.monotonic() - self.request_seconds
        with self._lock:
            for connection, state in self._connections.items():
                if state.began_at < oldest:
                    _shut_down(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: `_serve` logs what is a bug."""

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:  # it was closed, here or by the client
            pass
        except Exception as error:  # noqa: BLE001  # it ends one request only
            log_bug(error, thread="admin-request")
        finally:
            with self._lock:
                del self._connections[request]
            self.shutdown_request(request)
            self._threads.release()

    def _close_oldest(self) -> None:
        with self._lock:
            waiting = (each for each, state in self._connections.items() if not state.is_served)
            connection = next(waiting, None)  # dictionaries are in the order of insertion
            if connection is not None:
                _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    """End reads and writes of a connection, so that its thread ends."""
    with suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RDWR)


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
        """Listen.

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
        """Do nothing: it goes on, so that draining can be observed."""

    async def close(self) -> None:
        """End the server."""
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()

    def _serve(self, environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            respond("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there is /metrics\n"]
        response: Iterable[bytes] = self._metrics(environ, respond)
        return response
