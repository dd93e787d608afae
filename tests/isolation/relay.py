"""A TCP relay that can go silent: connections stay open, and nothing passes any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from taskgate_server.ports import Address

BLOCK_BYTES = 65536


class Relay:
    """Passes on bytes in both directions until it is silent.

    Args:
        target: the address of the server.
    """

    def __init__(self, target: Address) -> None:
        self._target = ("127.0.0.1", target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.is_silent = False
        """Whether what arrives from now on is dropped."""

    def start(self) -> None:
        """Accept connections in a thread."""
        self._spawn(self._accept)

    def close(self) -> None:
        """Close all connections."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]  # any
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                self._spawn(self._pump, near, far)
                self._spawn(self._pump, far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BLOCK_BYTES):
                if not self.is_silent:
                    sink.sendall(data)
            if not self.is_silent:
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def running_relay(target: Address) -> Iterator[Relay]:
    """Run a relay in threads of its own."""
    with ExitStack() as stack:
        relay = Relay(target)
        stack.callback(relay.close)
        relay.start()
        yield relay
