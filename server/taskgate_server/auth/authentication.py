"""Authentication: the caller of a call, by a bearer token or a client certificate.

Tokens are JSON Web Tokens (RFC 7519) of one issuer, for this server. A token is never logged, and
no error quotes it.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from taskgate_server import errors
from taskgate_server.auth.jwks import KeySource
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import Peer

AUTHORIZATION_KEY: Final = "authorization"
SCHEME: Final = "bearer "

MAX_CACHE_BYTES: Final = 16 * 1024 * 1024
MAX_CACHED_SECONDS: Final = 60.0
"""How long a verified token is accepted without verification. A signature takes some 0.1 ms."""

MAX_TOKEN_CHARACTERS: Final = 16 * 1024
SEPARATORS: Final = 2
"""Dots in the compact form of a signed token (RFC 7515, section 3.1)."""

MAX_GROUPS: Final = 200
MAX_NAME_CHARACTERS: Final = 256
"""Of a subject or a group. They are in log lines, policy decisions and cache keys of every call."""

GET_NEW_TOKEN: Final = "get a new token from its issuer"  # noqa: S105  # an instruction

KUBERNETES_SERVICE: Final = "system:serviceaccount:"
"""The prefix of the subjects of Kubernetes' service account tokens:
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens"""

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
                raise _invalid_token(f"the metadata `{key}` must be `Bearer` and a token")
            token = text[len(SCHEME) :].strip()
            _check_form(token)
            return token
    return None


# --- Tokens ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """The requirements for a token."""

    issuer: str
    audience: str
    algorithms: Sequence[str]
    leeway: float
    """Seconds by which the issuer's clock may differ."""
    groups_claim: str
    """The claim with the caller's groups; dots lead into objects: `realm_access.roles`."""


class Tokens:
    """Verifies tokens and caches the callers that they name.

    Args:
        keys: of the issuer.
        rules: the other requirements.
        clock: seconds since 1970, for cached tokens; PyJWT has its own.
    """

    def __init__(
        self, keys: KeySource, rules: TokenRules, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._verified: BoundedCache[bytes, tuple[float, Caller]] = BoundedCache(MAX_CACHE_BYTES)
        """By the digest of a token, until when it is accepted and its caller."""

    def find_verified(self, token: str) -> Caller | None:
        """Return the caller of a token that was verified recently; else None."""
        until, caller = self._verified.get(_digest(token)) or (0.0, None)
        return caller if self._clock() < until else None

    def was_verified(self, token: str) -> bool:
        """Return whether a token was verified before and has not expired since.

        It may have to be verified again, in case its key was withdrawn.
        """
        _, caller = self._verified.get(_digest(token)) or (0.0, None)
        if caller is None or caller.expires_at is None:
            return False
        return self._clock() < caller.expires_at + self._rules.leeway

    async def verify(self, token: str) -> Caller:
        """Return the caller that a token names.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, with what to do; UNAVAILABLE without keys.
        """
        _check_form(token)
        known = self.find_verified(token)
        if known is not None:
            return known
        caller, expires_at = await self._decode(token)
        until = min(expires_at + self._rules.leeway, self._clock() + MAX_CACHED_SECONDS)
        size = sum(sys.getsizeof(each) for each in (caller.id, caller.groups, *caller.groups))
        self._verified.put(_digest(token), (until, caller), size)
        return caller

    async def _decode(self, token: str) -> tuple[Caller, float]:
        """Verify a token; return its caller, and when it expires in seconds since 1970."""
        key, rules = await self._find_key(token), self._rules
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[*rules.algorithms],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
            subject, expires_at = claims["sub"], float(claims["exp"])
            groups = _groups(claims, rules.groups_claim)
            _check_bounds(subject, groups)
            kind = "Service" if subject.startswith(KUBERNETES_SERVICE) else "User"
            return Caller(kind, subject, groups, expires_at), expires_at
        except errors.TaskgateError:
            raise
        except jwt.PyJWTError as error:
            raise _refusal(error, rules) from None
        except Exception:  # noqa: BLE001  # whatever a caller's bytes do to the parser
            raise _invalid_token() from None

    async def _find_key(self, token: str) -> jwt.PyJWK:
        """Return the key that the token's header names."""
        try:
            header = jwt.get_unverified_header(token)
        except Exception:  # noqa: BLE001  # PyJWTError, RecursionError of json, and others
            raise _invalid_token() from None
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            allowed = ", ".join(self._rules.algorithms)
            raise _invalid_token(f"the token must be signed with one of these: {allowed}")
        key = await self._keys.find(header.get("kid"))
        if key is None or key.algorithm_name != algorithm:
            raise _invalid_token(f"no key of the issuer has signed the token: {GET_NEW_TOKEN}")
        return key


def _check_form(token: str) -> None:
    """Refuse what cannot be a token, at a small part of the cost of verifying a signature.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise _invalid_token(f"the token has more than {MAX_TOKEN_CHARACTERS} characters")
    if token.count(".") != SEPARATORS:
        raise _invalid_token()


def _check_bounds(subject: str, groups: tuple[str, ...]) -> None:
    """Refuse claims that are too large for logs and caches.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED.
    """
    if not 0 < len(subject) <= MAX_NAME_CHARACTERS:
        raise _invalid_token(f"the token's subject must have 1 to {MAX_NAME_CHARACTERS} characters")
    if len(groups) > MAX_GROUPS:
        raise _invalid_token(
            f"the token has {len(groups)} groups, and {MAX_GROUPS} are allowed: configure its"
            " issuer to include only the groups that this server's policy names"
        )
    if any(len(each) > MAX_NAME_CHARACTERS for each in groups):
        raise _invalid_token(
            f"each of the token's groups may have {MAX_NAME_CHARACTERS} characters at most"
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _invalid_token(
    fault: str = f"the token is not valid: {GET_NEW_TOKEN}",
) -> errors.TaskgateError:
    return errors.OwnError(errors.Reason.TOKEN_INVALID, fault)


def _refusal(error: jwt.PyJWTError, rules: TokenRules) -> errors.TaskgateError:
    """Return the error for one of PyJWT, whose own text may quote claims."""
    match error:
        case jwt.ExpiredSignatureError():
            return errors.OwnError(
                errors.Reason.TOKEN_EXPIRED, f"the token has expired: {GET_NEW_TOKEN}"
            )
        case jwt.ImmatureSignatureError():
            return _invalid_token("the token is not valid yet: wait, or correct the clocks")
        case jwt.InvalidAudienceError():
            return _invalid_token(
                f"the token is for another audience: get a token for {rules.audience}"
            )
        case jwt.InvalidIssuerError():
            return _invalid_token(f"the token has another issuer: get a token from {rules.issuer}")
        case jwt.MissingRequiredClaimError():
            return _invalid_token("the token must have the claims exp, sub, iss and aud")
        case _:
            return _invalid_token()


def _groups(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Return the caller's groups, from a list or a single string."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return (found,)
    return tuple(str(each) for each in found) if isinstance(found, list) else ()


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
