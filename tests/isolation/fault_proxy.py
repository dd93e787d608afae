"""A TCP proxy in front of an AWS endpoint that fails in one way or another."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

Fault: TypeAlias = Literal["refused", "reset", "hang", "garbage", "503", "slow", "tls stall"]

SLOW_SECONDS: Final = 5.0
"""How late a slow response is."""
POLL_SECONDS: Final = 0.02
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST."""
UNAVAILABLE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class FaultProxy:
    """Relays connections to an endpoint, until `fault` says otherwise.

    Args:
        endpoint_url: where to relay to, over plain HTTP.
        tls: terminates TLS; None for none.
    """

    def __init__(self, endpoint_url: str, tls: ssl.SSLContext | None = None) -> None:
        place = urlsplit(endpoint_url)
        self._upstream = (place.hostname or "", place.port or 80)
        self._tls = tls
        self._fault: Fault | None = None
        self._over = threading.Event()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    def begin(self, fault: Fault) -> None:
        """Fail from now on."""
        if fault == "refused" and self._listener is not None:
            self._listener.close()
            self._listener = None
        self._fault = fault

    def end(self) -> None:
        """Work again; what was received meanwhile is never answered."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
        self._fault = None

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._listener is not None:
            self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            listener = self._listener
            if listener is None:
                time.sleep(POLL_SECONDS)
                continue
            with suppress(OSError, ValueError):
                if select.select([listener], [], [], POLL_SECONDS)[0]:
                    client, _ = listener.accept()
                    thread = threading.Thread(target=self._serve, args=(client,))
                    self._threads.append(thread)
                    thread.start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if self._fault == "tls stall":
                self._hold(client)
                return
            if self._tls is not None:
                client.settimeout(5)
                client = self._tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(self._upstream) as upstream:
                self._relay(client, upstream)

    def _relay(self, client: socket.socket, upstream: socket.socket) -> None:
        while not self._over.is_set():
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            readable = select.select([client, upstream], [], [], 0 if pending else POLL_SECONDS)[0]
            if self._fault in ("refused", "reset", "tls stall"):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return
            if pending or client in readable:
                data = client.recv(65536)
                if not data or not self._pass_on(data, client, upstream):
                    return
            if upstream in readable:
                data = upstream.recv(65536)
                if not data:
                    return
                client.sendall(data)

    def _pass_on(self, data: bytes, client: socket.socket, upstream: socket.socket) -> bool:
        """Handle a part of a request; return whether the connection goes on."""
        fault = self._fault
        if fault == "hang":
            self._hold(client)
        elif fault == "garbage":
            client.sendall(b"\x00\xff garbage \r\n" * 10)
        elif fault == "503":
            client.sendall(UNAVAILABLE)
        else:
            if fault == "slow":
                self._over.wait(SLOW_SECONDS)
            upstream.sendall(data)
            return True
        return False

    def _hold(self, client: socket.socket) -> None:
        """Keep a connection open without a byte, until the caller or the test ends."""
        while not self._over.is_set():
            if select.select([client], [], [], POLL_SECONDS)[0] and not client.recv(65536):
                return
