"""The network address of a caller, as limits and logs use it."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import unquote

IPV6_PREFIX: Final = 64
"""One subscriber has at least such a network to itself: RFC 6177."""


def address_of(peer: str) -> str:
    """Return the address in what gRPC calls a peer, without the port.

    Args:
        peer: such as `ipv4:192.0.2.1:40000` or `ipv6:%5B2001:db8::1%5D:40000`.

    Returns:
        An IPv4 address, the /64 network of an IPv6 address, or the peer itself if it is neither,
        such as a Unix socket.
    """
    kind, _, place = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    return network_of(unquote(place).rpartition(":")[0].strip("[]"))


def network_of(host: str) -> str:
    """Return an IPv4 address as it is, and the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
