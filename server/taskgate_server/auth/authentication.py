"""The caller of a call: the holder of a token or of a client certificate, or an anonymous one."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from taskgate_server import errors
from taskgate_server.auth.tokens import MAX_NAME_CHARACTERS, Claims, Tokens, check_form
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import Peer

AUTHORIZATION_KEY = "authorization"
SCHEME = "bearer "

MAX_CACHE_BYTES: Final = 4 * 1024 * 1024

# What gRPC reports of a client's certificate once the handshake has verified it:
# https://github.com/grpc/grpc/blob/master/include/grpc/grpc_security_constants.h
CERTIFICATE: Final = "x509_pem_cert"
URIS: Final = "peer_uri"
NAMES: Final = ("peer_spiffe_id", URIS, "peer_dns", "x509_common_name")
"""Where a certificate has its holder's name, the best first."""
SPIFFE: Final = "spiffe://"


Properties: TypeAlias = Mapping[str, Iterable[bytes]]
"""What the handshake has found out about a connection."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal, in the terms of the policy."""

    kind: str
    """One of `policy.PRINCIPALS`: what the caller authenticated with decides it."""
    id: str
    """The subject of a token, or the name in a certificate."""
    groups: tuple[str, ...] = ()
    expires_at: float | None = field(default=None, compare=False)
    """When the caller's token expires, in seconds since 1970, without leeway; None without a token.
    It is no part of the identity: a caller with a fresh token is the same one."""

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
        self._holders: BoundedCache[bytes, Caller] = BoundedCache(MAX_CACHE_BYTES)

    def known(self, wire: Peer) -> Caller | None:
        """Return the caller if no credential has to be verified for it; else None."""
        value = self._authorization(wire)
        if value is not None and self._tokens is not None:
            claims = self._tokens.cached(_after_scheme(value) or "")
            return None if claims is None else _bearer(claims)
        if not self._certificates:
            return ANONYMOUS
        return self._holders.get(_fingerprint(wire.auth_context()))

    def was_known(self, wire: Peer) -> bool:
        """Return whether the caller's token was valid before and has not expired since."""
        value = self._authorization(wire)
        if value is None or self._tokens is None:
            return False
        return self._tokens.was_valid(_after_scheme(value) or "")

    def check_form(self, wire: Peer) -> None:
        """Refuse metadata without anything in it that could be a valid token.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED.
        """
        value = self._authorization(wire)
        if value is not None:
            check_form(_token(value))

    async def find(self, wire: Peer) -> Caller:
        """Return who makes this call.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, a token or a certificate that cannot be accepted;
                UNAVAILABLE, there are no keys to verify a token with.
        """
        value = self._authorization(wire)
        if value is not None and self._tokens is not None:
            return _bearer(await self._tokens.verify(_token(value)))
        return self._holder(wire.auth_context()) if self._certificates else ANONYMOUS

    def _authorization(self, wire: Peer) -> str | bytes | None:
        """Return the metadata with a token; None if there is none, or tokens mean nothing."""
        if self._tokens is None:
            return None
        metadata = wire.invocation_metadata() or ()
        return next((value for key, value in metadata if key == AUTHORIZATION_KEY), None)

    def _holder(self, properties: Properties) -> Caller:
        """Return the holder of the connection's certificate.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, a certificate whose name is ambiguous.
        """
        key = _fingerprint(properties)
        caller = self._holders.get(key)
        if caller is None:
            caller = _named(properties)
            self._holders.put(key, caller, sys.getsizeof(caller.id))
        return caller


def _fingerprint(properties: Properties) -> bytes:
    return hashlib.sha256(next(iter(properties.get(CERTIFICATE, ())), b"")).digest()


def _named(properties: Properties) -> Caller:
    """Return the holder that a certificate names; without any name the caller is anonymous."""
    uris = [uri.lower() for uri in properties.get(URIS, ())]
    if len(uris) > 1 and any(uri.startswith(SPIFFE.encode()) for uri in uris):
        # https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md, section 2
        raise _ambiguous("has several URIs, and a certificate with a SPIFFE id must have only one")
    for key in NAMES:
        for name in properties.get(key, ()):
            if name:
                return Caller("Certificate", _checked(name))
    return ANONYMOUS


def _checked(name: bytes) -> str:
    """Return the name as text, if it is unambiguous."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise _ambiguous("has a name that is not encoded in UTF-8") from None
    if len(text) > MAX_NAME_CHARACTERS:
        raise _ambiguous(f"has a name of more than {MAX_NAME_CHARACTERS} characters")
    if not text.isprintable():
        raise _ambiguous("has a name with control characters")
    return text


def _ambiguous(fault: str) -> errors.TaskgateError:
    return errors.unauthenticated(
        "CERTIFICATE_INVALID", f"the client certificate {fault}: have another one issued"
    )


def _after_scheme(value: str | bytes) -> str | None:
    """Return the token in the metadata; None if it has another scheme."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text[len(SCHEME) :].strip() if text[: len(SCHEME)].lower() == SCHEME else None


def _token(value: str | bytes) -> str:
    token = _after_scheme(value)
    if token is None:
        raise errors.unauthenticated(
            "TOKEN_INVALID", "the metadata `authorization` must be `Bearer` and a token"
        )
    return token


def _bearer(claims: Claims) -> Caller:
    kind = "Service" if claims.subject.startswith(KUBERNETES_SERVICE) else "User"
    return Caller(kind, claims.subject, claims.groups, claims.expires_at)
