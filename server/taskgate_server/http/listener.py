"""The HTTP port: listens, changes its certificates, and drains.

The connections are uvicorn's. Its own server is not used, since it handles signals, has a lifespan
protocol and its own log, and cannot change certificates.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from taskgate_server.http.application import HttpApplication
from taskgate_server.http.connection import HEADER_SECONDS, Connection, ConnectionRules
from taskgate_server.ports import Address, listening_socket
from taskgate_server.telemetry.logs import LOG, log_bug

BACKLOG: Final = 2048
"""Connections that the system accepts before the server does."""


class HttpListener:
    """Listens for HTTP. Call `start`, then `stop`, then `wait` or `cut`.

    Args:
        address: to listen on.
        application: serves the requests.
        rules: the limits of each connection.
        idle_seconds: how long a connection may stay open without requests.
        are_shared: whether other workers listen there, too.
        tls: returns the newest TLS context; None for plaintext.
    """

    def __init__(
        self,
        address: Address,
        application: HttpApplication,
        rules: ConnectionRules,
        *,
        idle_seconds: float,
        are_shared: bool,
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        self._address = address
        self._rules = rules
        self._are_shared = are_shared
        self._tls = tls
        self._config = Config(
            application,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # a line for each malformed request could fill the log
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=max(round(idle_seconds), 1),
        )
        self._state = ServerState()
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._is_stopping = False

    async def start(self) -> Address:
        """Listen; return the address with its actual port.

        Raises:
            OSError: the address is in use, or is not one of this machine.
        """
        self._config.load()
        self._socket = listening_socket(self._address, is_shared=self._are_shared)
        await self._listen()
        port = self._socket.getsockname()[1]
        return Address(host=self._address.host, port=port)

    def renew(self) -> None:
        """Use the newest certificates for new connections."""
        if self._socket is not None and not self._is_stopping:
            asyncio.ensure_future(self._listen()).add_done_callback(_report)

    def stop(self) -> None:
        """Accept no new connections, and end each one after its current response."""
        self._is_stopping = True
        if self._server is not None:
            self._server.close()
        if self._socket is not None:
            self._socket.close()
        for connection in list(self._state.connections):
            connection.shutdown()

    async def wait(self) -> None:
        """Wait until all requests have ended."""
        while self._state.tasks:
            await asyncio.wait(set(self._state.tasks))
        for connection in list(self._state.connections):
            connection.shutdown()

    async def cut(self) -> None:
        """End all requests."""
        while self._state.tasks:
            for task in self._state.tasks:
                task.cancel()
            await asyncio.wait(set(self._state.tasks))
        for connection in list(self._state.connections):
            connection.transport.close()

    async def _listen(self) -> None:
        """Accept connections with the newest certificates, and no longer with older ones.

        The socket stays open meanwhile, so that no connection is refused.
        """
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        context = self._tls() if self._tls is not None else None
        limits: dict[str, Any] = {}
        if context is not None:
            limits["ssl_handshake_timeout"] = HEADER_SECONDS
        server = await loop.create_server(
            partial(Connection, self._rules, self._config, self._state, loop),
            sock=self._socket.dup(),
            ssl=context,
            backlog=BACKLOG,
            **limits,
        )
        before, self._server = self._server, server
        if self._is_stopping:
            server.close()
        if before is not None:
            before.close()
            LOG.info("http uses newer certificates", extra={"address": str(self._address)})


def _report(listening: asyncio.Future[None]) -> None:
    if not listening.cancelled() and (error := listening.exception()) is not None:
        log_bug(error, task="http_certificates")
