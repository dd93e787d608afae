"""Bearer tokens: JSON Web Tokens (RFC 7519) of one issuer, for this server.

A token is never logged, and no error quotes it.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from taskgate_server import errors
from taskgate_server.auth.jwks import KeysError, KeySource
from taskgate_server.bounded_cache import BoundedCache

MAX_CACHE_BYTES: Final = 16 * 1024 * 1024
MAX_CACHED_SECONDS: Final = 60.0
"""How long a verified token is accepted without another look. A signature takes some 0.1 ms."""

MAX_TOKEN_CHARACTERS: Final = 16 * 1024
SEPARATORS: Final = 2
"""Dots in the compact form of a signed token (RFC 7515, section 3.1)."""

MAX_GROUPS: Final = 200
MAX_NAME_CHARACTERS: Final = 256
"""Of a subject or a group. They are in log lines, policy decisions and cache keys of every call."""

FRESH = "get a new token from its issuer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified token says of its holder."""

    subject: str
    groups: tuple[str, ...]
    expires_at: float
    """Seconds since 1970, without leeway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must be."""

    issuer: str
    audience: str
    algorithms: Sequence[str]
    leeway: float
    """Seconds that the issuer's clock may differ."""
    groups_claim: str
    """Where the caller's groups are; dots lead into objects: `realm_access.roles`."""


class Tokens:
    """Verifies tokens.

    Args:
        keys: of the issuer.
        rules: what else a token must be.
        clock: seconds since 1970, for cached tokens; PyJWT has its own.
    """

    def __init__(
        self, keys: KeySource, rules: TokenRules, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._verified: BoundedCache[bytes, tuple[float, Claims]] = BoundedCache(MAX_CACHE_BYTES)

    def cached(self, token: str) -> Claims | None:
        """Return the claims of a token that was verified lately; else None."""
        return self._cached(_digest(token)) if len(token) <= MAX_TOKEN_CHARACTERS else None

    def was_valid(self, token: str) -> bool:
        """Return whether a token was verified before and has not expired since.

        It may still have to be verified again, in case its key was withdrawn.
        """
        known = self._verified.get(_digest(token)) if len(token) <= MAX_TOKEN_CHARACTERS else None
        return known is not None and self._clock() < known[1].expires_at + self._rules.leeway

    async def verify(self, token: str) -> Claims:
        """Return what a token says of its holder.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, with what to do; UNAVAILABLE without keys.
        """
        check_form(token)
        key = _digest(token)
        known = self._cached(key)
        if known is not None:
            return known
        claims = await self._claims(token)
        expires = claims.expires_at + self._rules.leeway
        until = min(expires, self._clock() + MAX_CACHED_SECONDS)
        self._verified.put(key, (until, claims), _size(claims))
        return claims

    def _cached(self, key: bytes) -> Claims | None:
        known = self._verified.get(key)
        if known is None:
            return None
        until, claims = known
        return claims if self._clock() < until else None

    async def _claims(self, token: str) -> Claims:
        key = await self._key(token)
        rules = self._rules
        try:
            found = jwt.decode(
                token,
                key,
                algorithms=[*rules.algorithms],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
            return _bounded(
                Claims(
                    subject=found["sub"],
                    groups=_groups(found, rules.groups_claim),
                    expires_at=float(found["exp"]),
                )
            )
        except errors.TaskgateError:
            raise
        except jwt.PyJWTError as error:
            raise _refused(error, rules) from None
        except Exception:  # noqa: BLE001  # whatever a caller's bytes do to the parser
            raise _invalid() from None

    async def _key(self, token: str) -> jwt.PyJWK:
        """The key that the token says it is signed with."""
        try:
            header = jwt.get_unverified_header(token)
        except Exception:  # noqa: BLE001  # PyJWTError, RecursionError of json, and whatever else
            raise _invalid() from None
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            allowed = ", ".join(self._rules.algorithms)
            raise errors.OwnError(
                errors.Reason.TOKEN_INVALID, f"the token must be signed by one of these: {allowed}"
            )
        try:
            key = await self._keys.find(header.get("kid"))
        except KeysError:
            raise errors.keys_unavailable() from None
        if key is None or key.algorithm_name != algorithm:
            raise errors.OwnError(
                errors.Reason.TOKEN_INVALID,
                f"the token is signed by no key of its issuer's: {FRESH}",
            )
        return key


def check_form(token: str) -> None:
    """Refuse what cannot be a token, at a small part of the cost of verifying a signature.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise errors.OwnError(
            errors.Reason.TOKEN_INVALID,
            f"the token has more than {MAX_TOKEN_CHARACTERS} characters",
        )
    if token.count(".") != SEPARATORS:
        raise _invalid()


def _bounded(claims: Claims) -> Claims:
    """Return the claims, if they are of a size that fits logs and caches.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED.
    """
    if not 0 < len(claims.subject) <= MAX_NAME_CHARACTERS:
        fault = f"the token's subject must have 1 to {MAX_NAME_CHARACTERS} characters"
    elif len(claims.groups) > MAX_GROUPS:
        fault = (
            f"the token has {len(claims.groups)} groups, and {MAX_GROUPS} are allowed: have its"
            " issuer put only the groups in that the policy of this server names"
        )
    elif any(len(each) > MAX_NAME_CHARACTERS for each in claims.groups):
        fault = f"each of the token's groups may have {MAX_NAME_CHARACTERS} characters at most"
    else:
        return claims
    raise errors.OwnError(errors.Reason.TOKEN_INVALID, fault)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _size(claims: Claims) -> int:
    """Return the bytes that cached claims take, about."""
    texts = (claims.subject, *claims.groups)
    return sys.getsizeof(claims.groups) + sum(sys.getsizeof(each) for each in texts)


def _invalid() -> errors.TaskgateError:
    return errors.OwnError(errors.Reason.TOKEN_INVALID, f"this is no valid token: {FRESH}")


def _refused(error: jwt.PyJWTError, rules: TokenRules) -> errors.TaskgateError:
    """PyJWT's fault in our words: its own may quote claims."""
    if isinstance(error, jwt.ExpiredSignatureError):
        return errors.OwnError(errors.Reason.TOKEN_EXPIRED, f"the token has expired: {FRESH}")
    if isinstance(error, jwt.ImmatureSignatureError):
        return errors.OwnError(
            errors.Reason.TOKEN_INVALID, "the token is not valid yet: wait, or set the clocks right"
        )
    if isinstance(error, jwt.InvalidAudienceError):
        return errors.OwnError(
            errors.Reason.TOKEN_INVALID,
            f"the token is for another audience: get one for {rules.audience}",
        )
    if isinstance(error, jwt.InvalidIssuerError):
        return errors.OwnError(
            errors.Reason.TOKEN_INVALID,
            f"the token is of another issuer: get one of {rules.issuer}",
        )
    if isinstance(error, jwt.MissingRequiredClaimError):
        return errors.OwnError(
            errors.Reason.TOKEN_INVALID, "the token must have the claims exp, sub, iss and aud"
        )
    return _invalid()


def _groups(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The caller's groups, in whatever of the usual forms: a list, or one word."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return (found,)
    return tuple(str(each) for each in found) if isinstance(found, list) else ()
