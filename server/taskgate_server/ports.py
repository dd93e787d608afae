"""Ports of this machine: who can reach them, and how they are kept."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import Final


class ListenError(Exception):
    """The address cannot be listened on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """As gRPC takes it."""
        if is_unix(self.host):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


UNIX: Final = "unix:"
"""Begins the address of a Unix socket, before its path; see
https://github.com/grpc/grpc/blob/master/doc/naming.md"""


def is_unix(host: str) -> bool:
    """Return whether an address is that of a Unix socket, which has no port."""
    return host.startswith(UNIX)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if is_unix(host):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reserve(address: Address) -> Address:
    """The address with its real port, of which it is sure that nobody listens there.

    The acceptors share the port, and the system would let another process share it too.

    Raises:
        OSError: somebody listens there, or it is not this machine's.
    """
    if is_unix(address.host):
        _demand_unused(address.host.removeprefix(UNIX))
        return Address(host=address.host, port=0)
    with _bound(address, socket.SO_REUSEADDR) as probe:
        return Address(host=address.host, port=probe.getsockname()[1])


def _demand_unused(path: str) -> None:
    """Raise OSError if a server listens on a Unix socket; gRPC would replace it."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def hold(address: Address) -> socket.socket:
    """A socket that keeps the port for those who share it, and takes no connections itself.

    Raises:
        OSError: it is not this machine's, or somebody has it who does not share.
    """
    return _bound(address, socket.SO_REUSEPORT)


def _bound(address: Address, option: int) -> socket.socket:
    infos = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, where = infos[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    return bound
