"""Which web pages may call: the server's own, and those of the allowed origins (CORS).

A browser sends requests of any page to any server, also to one on this machine. Without
authentication a server on loopback would therefore serve every page that its user opens, were it
not for two checks: a page of another origin is refused unless it is allowed, and so is a request
for a host name that is not this machine's, since an attacker's name may resolve to 127.0.0.1 (DNS
rebinding). https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

Header = tuple[bytes, bytes]

ALLOWED_HEADERS: Final = ", ".join(
    (
        "authorization",
        "connect-protocol-version",
        "connect-timeout-ms",
        "content-type",
        "grpc-timeout",
        "taskgate-max-age",
        "taskgate-report-source",
        "taskgate-since-write",
        "taskgate-target",
        "traceparent",
        "x-grpc-web",
        "x-user-agent",
    )
)
EXPOSED_HEADERS: Final = ", ".join(
    (
        "grpc-message",
        "grpc-status",
        "grpc-status-details-bin",
        "retry-after",
        "taskgate-observe-time",
        "trailer-taskgate-aws-request-id",
        "trailer-taskgate-observe-time",
    )
)
MAX_AGE_SECONDS: Final = 7200
"""How long a browser may remember a preflight; Chromium's own limit."""


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins whose pages may call.

    Args:
        allowed: origins besides the server's own, such as `https://status.example.com`.
        checks_host: whether a request must name this machine, since nothing else protects it.
    """

    allowed: tuple[str, ...]
    checks_host: bool

    def refusal(self, headers: Mapping[bytes, bytes]) -> str:
        """Return why the page that sent a request may not call; empty if it may."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.checks_host and not _is_this_machine(host) and not self._is_allowed_host(host):
            return (
                "the server is for this machine, and the request is for another host name: use"
                " localhost, or add the origin to http_allowed_origins"
            )
        origin = headers.get(b"origin")
        if origin is None or self._is_allowed(origin.decode("latin-1"), host):
            return ""
        return "pages of this origin may not call: add it to http_allowed_origins"

    def headers(self, headers: Mapping[bytes, bytes]) -> Iterable[Header]:
        """Return the headers that let the page of an allowed origin read the response."""
        if not self.allowed:
            return ()
        origin = headers.get(b"origin")
        if origin is None or origin.decode("latin-1") not in self.allowed:
            return ((b"vary", b"origin"),)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED_HEADERS.encode()),
            (b"vary", b"origin"),
        )

    def preflight(self) -> Iterable[Header]:
        """Return the further headers of the response to a preflight request."""
        return (
            (b"access-control-allow-headers", ALLOWED_HEADERS.encode()),
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
        )

    def _is_allowed(self, origin: str, host: str) -> bool:
        return origin in self.allowed or urlsplit(origin).netloc.lower() == host

    def _is_allowed_host(self, host: str) -> bool:
        return any(urlsplit(origin).netloc == host for origin in self.allowed)


def _is_this_machine(host: str) -> bool:
    """Return whether the header Host has an address, or a name that is always this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
