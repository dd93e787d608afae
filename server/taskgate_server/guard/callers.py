"""Who calls: by a token, by a client certificate, or nobody in particular."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from taskgate_server import errors
from taskgate_server.calls import Wire
from taskgate_server.guard.tokens import Tokens

AUTHORIZATION_KEY = "authorization"
SCHEME = "bearer "

KNOWN_CERTIFICATES = 1024

# What gRPC tells of a client's certificate once the handshake has verified it.
CERTIFICATE = "x509_pem_cert"
NAMES = ("peer_spiffe_id", "peer_uri", "peer_dns", "x509_common_name")
"""Where a certificate has its holder's name, the best first."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whom the policy has rules for, by the words of the policy."""

    kind: str
    """`User`, `Service` or `Anonymous`."""
    id: str
    """The subject of a token, or the name in a certificate."""
    groups: tuple[str, ...] = ()
    expires_at: float | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


ANONYMOUS = Caller("Anonymous", "anonymous")

KUBERNETES_SERVICE = "system:serviceaccount:"
"""What the subjects of Kubernetes' service account tokens begin with:
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens"""


class Callers:
    """Finds out who calls.

    A token wins over a certificate: with both, the certificate is of the proxy in between.

    Args:
        tokens: verifies them; None where tokens mean nothing.
        certificates: whether the port asks for them.
    """

    def __init__(self, tokens: Tokens | None, *, certificates: bool) -> None:
        self._tokens = tokens
        self._certificates = certificates
        self._holders: OrderedDict[bytes, Caller] = OrderedDict()

    def known(self, wire: Wire) -> Caller | None:  # noqa: ARG002  # tmp
        """Return the caller if no credential has to be verified for it; else None."""
        return None

    async def find(self, wire: Wire) -> Caller:
        """Who makes this call.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, a token that is no good; UNAVAILABLE, there are
                no keys to tell.
        """
        if self._tokens is not None:
            for key, value in wire.invocation_metadata() or ():
                if key == AUTHORIZATION_KEY:
                    return _bearer(await self._tokens.verify(_token(value)))
        return self._holder(wire) if self._certificates else ANONYMOUS

    def _holder(self, wire: Wire) -> Caller:
        """The holder of the connection's certificate."""
        told = wire.auth_context()
        certificate = next(iter(told.get(CERTIFICATE, ())), b"")
        caller = self._holders.get(certificate)
        if caller is None:
            caller = _named(told)
            self._holders[certificate] = caller
            if len(self._holders) > KNOWN_CERTIFICATES:
                self._holders.popitem(last=False)
        return caller


def _named(told: Mapping[str, Iterable[bytes]]) -> Caller:
    """A certificate without a name is nobody's, though it was verified."""
    for key in NAMES:
        for name in told.get(key, ()):
            if name:
                return Caller("Service", name.decode("utf-8", "replace"))
    return ANONYMOUS


def _token(value: str | bytes) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    if text[: len(SCHEME)].lower() != SCHEME:
        raise errors.unauthenticated(
            "TOKEN_INVALID", "the metadata `authorization` must be `Bearer` and a token"
        )
    return text[len(SCHEME) :].strip()


def _bearer(claims: Mapping[str, object]) -> Caller:
    subject = str(claims["sub"])
    kind = "Service" if subject.startswith(KUBERNETES_SERVICE) else "User"
    groups = claims["groups"]
    return Caller(kind, subject, groups if isinstance(groups, tuple) else ())
