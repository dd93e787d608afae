"""Authentication: the caller of a call, by a bearer token or a client certificate.

`tokens` verifies tokens. It is not imported here: its libraries take 10 MiB, and a server on
loopback needs no authentication.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from taskgate_server import errors
from taskgate_server.calls import Peer

if TYPE_CHECKING:  # see above
    from taskgate_server.auth.tokens import Tokens

AUTHORIZATION_KEY: Final = "authorization"
SCHEME: Final = "bearer "

MAX_TOKEN_CHARACTERS: Final = 16 * 1024
SEPARATORS: Final = 2
"""Dots in the compact form of a signed token (RFC 7515, section 3.1)."""

MAX_NAME_CHARACTERS: Final = 256
"""Of a subject or a group. They are in log lines, policy decisions and cache keys of every call."""

GET_NEW_TOKEN: Final = "get a new token from its issuer"  # noqa: S105  # an instruction

# What gRPC reports about a client certificate once the handshake has verified it:
# https://github.com/grpc/grpc/blob/master/include/grpc/grpc_security_constants.h
URIS: Final = "peer_uri"
NAMES: Final = ("peer_spiffe_id", URIS, "peer_dns", "x509_common_name")
"""Where a certificate has the name of its holder, in order of preference."""
SPIFFE: Final = b"spiffe://"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal, in the terms of the policy."""

    kind: str
    """One of `policy.PRINCIPALS`, by the credential that the caller authenticated with."""
    id: str
    """The subject of a token, or the name in a certificate."""
    groups: tuple[str, ...] = ()
    expires_at: float | None = field(default=None, compare=False)
    """When the caller's token expires, in seconds since 1970, without leeway; None without a token.
    It is no part of the identity: a caller with a new token is the same caller."""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


ANONYMOUS: Final = Caller("Anonymous", "anonymous")


class Callers:
    """Authenticates the callers of calls.

    A token takes precedence over a certificate: where a call has both, the certificate belongs to a
    proxy in between.

    Args:
        tokens: verifies them; None if tokens are ignored.
        certificates: whether the port requires client certificates.
    """

    def __init__(self, tokens: Tokens | None, *, certificates: bool) -> None:
        self._tokens = tokens
        self._certificates = certificates

    def find_verified(self, peer: Peer) -> Caller | None:
        """Return the caller if no signature has to be verified for it; else None."""
        try:
            if self._tokens is None or (token := _token_in(peer)) is None:
                return self._holder(peer)
        except errors.TaskgateError:
            return None
        return self._tokens.find_verified(token)

    def was_verified(self, peer: Peer) -> bool:
        """Return whether the caller's token was verified before and has not expired since.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, metadata that cannot have a valid token.
        """
        if self._tokens is None or (token := _token_in(peer)) is None:
            return False
        return self._tokens.was_verified(token)

    async def verify(self, peer: Peer) -> Caller:
        """Return the caller of a call.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, the token or the certificate is not accepted;
                UNAVAILABLE, there are no keys to verify a token with.
        """
        if self._tokens is None or (token := _token_in(peer)) is None:
            return self._holder(peer)
        return await self._tokens.verify(token)

    def _holder(self, peer: Peer) -> Caller:
        return _holder_of(peer.auth_context()) if self._certificates else ANONYMOUS


def _token_in(peer: Peer) -> str | None:
    """Return the token in the metadata; None if there is none.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED, what is there cannot be a token.
    """
    for key, value in peer.invocation_metadata() or ():
        if key == AUTHORIZATION_KEY:
            text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
            if text[: len(SCHEME)].lower() != SCHEME:
                raise invalid_token(f"the metadata `{key}` must be `Bearer` and a token")
            token = text[len(SCHEME) :].strip()
            check_form(token)
            return token
    return None


def check_form(token: str) -> None:
    """Refuse what cannot be a token, at a small part of the cost of verifying a signature.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise invalid_token(f"the token has more than {MAX_TOKEN_CHARACTERS} characters")
    if token.count(".") != SEPARATORS:
        raise invalid_token()


def invalid_token(
    fault: str = f"the token is not valid: {GET_NEW_TOKEN}",
) -> errors.TaskgateError:
    """Return the error for a token that is not accepted."""
    return errors.OwnError(errors.Reason.TOKEN_INVALID, fault)


# --- Client certificates --------------------------------------------------------------------------


def _holder_of(properties: Mapping[str, Iterable[bytes]]) -> Caller:
    """Return the holder that a certificate names; without any name the caller is anonymous.

    Args:
        properties: of the connection, as gRPC reports them.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED, a certificate whose name is ambiguous.
    """
    uris = [uri.lower() for uri in properties.get(URIS, ())]
    if len(uris) > 1 and any(uri.startswith(SPIFFE) for uri in uris):
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
    return errors.OwnError(
        errors.Reason.CERTIFICATE_INVALID, f"the client certificate {fault}: get a new certificate"
    )
