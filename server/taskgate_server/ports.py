"""Ports of this machine: who can reach them, and how they are kept."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass


class ListenError(Exception):
    """The address cannot be listened on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """As gRPC takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
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
    with _bound(address, socket.SO_REUSEADDR) as probe:
        return Address(host=address.host, port=probe.getsockname()[1])


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
