"""The other end of an HTTP connection, as gRPC names it.

Authentication and limits read gRPC's names of addresses and of the names in a client certificate:
https://github.com/grpc/grpc/blob/master/include/grpc/grpc_security_constants.h
"""

from __future__ import annotations

import ssl
from asyncio import Transport
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

SPIFFE: Final = "spiffe://"


@dataclass(frozen=True, slots=True)
class HttpPeer:
    """A client's end of a connection."""

    name: str
    """Such as `ipv4:192.0.2.1:40000`."""
    auth_context: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """What the TLS handshake verified; empty in plaintext and without a client certificate."""


def peer_of(transport: Transport) -> HttpPeer:
    """Return the peer of a connection."""
    address = transport.get_extra_info("peername")
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    certificate = connection.getpeercert() if connection is not None else None
    return HttpPeer(_name(address), _names_in(certificate) if certificate else {})


def _name(address: Any) -> str:
    if not isinstance(address, tuple):
        return "unknown:"
    host, port = address[:2]
    return f"ipv6:{quote(f'[{host}]', safe=':')}:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _names_in(certificate: Mapping[str, Any]) -> dict[str, list[bytes]]:
    """Return the names in a verified certificate, from Python's form of it."""
    names: dict[str, list[bytes]] = {}
    kinds = {"URI": "peer_uri", "DNS": "peer_dns"}
    for kind, name in certificate.get("subjectAltName", ()):
        if kind in kinds:
            names.setdefault(kinds[kind], []).append(name.encode())
    uris = names.get("peer_uri", [])
    if len(uris) == 1 and uris[0].startswith(SPIFFE.encode()):
        names["peer_spiffe_id"] = uris
    for attributes in certificate.get("subject", ()):
        for kind, name in attributes:
            if kind == "commonName":
                names.setdefault("x509_common_name", []).append(name.encode())
    return names
