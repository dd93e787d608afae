"""Addresses and ports to listen on."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import Final

UNIX: Final = "unix:"
"""The prefix of the address of a Unix socket; see
https://github.com/grpc/grpc/blob/master/doc/naming.md"""


class ListenError(Exception):
    """The server cannot listen on an address; the text is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it in gRPC's form."""
        if is_unix(self.host):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_unix(host: str) -> bool:
    """Return whether an address is that of a Unix socket, which has no port."""
    return host.startswith(UNIX)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if is_unix(host):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reserve(address: Address) -> Address:
    """Return an address with its actual port, after checking that nothing listens there.

    The acceptors share the port, and the system would let another process share it too.

    Raises:
        OSError: the address is in use, or is not one of this machine.
    """
    if is_unix(address.host):
        _check_unused(address.host.removeprefix(UNIX))
        return Address(host=address.host, port=0)
    with _bind(address, socket.SO_REUSEADDR) as probe:
        return Address(host=address.host, port=probe.getsockname()[1])


def hold(address: Address) -> socket.socket:
    """Return a socket that holds a port for the processes that share it, without listening.

    Raises:
        OSError: the address is not one of this machine, or a process has it that does not share.
    """
    return _bind(address, socket.SO_REUSEPORT)


def listening_socket(address: Address, *, is_shared: bool) -> socket.socket:
    """Return a socket on an address, for TCP.

    Args:
        address: with any free port if it is 0.
        is_shared: whether other processes listen there, too.

    Raises:
        OSError: the address is in use, or is not one of this machine.
    """
    bound = _bind(address, socket.SO_REUSEPORT if is_shared else socket.SO_REUSEADDR)
    bound.setblocking(False)  # noqa: FBT003  # the method takes no name
    try:
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def _check_unused(path: str) -> None:
    """Raise OSError if a server listens on a Unix socket; gRPC would replace it."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _bind(address: Address, option: int) -> socket.socket:
    infos = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, place = infos[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(place)
    except OSError:
        bound.close()
        raise
    return bound
