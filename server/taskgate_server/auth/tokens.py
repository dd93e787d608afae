"""Verification of tokens: JSON Web Tokens (RFC 7519) of one issuer, for this server.

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
from taskgate_server.auth.authentication import (
    GET_NEW_TOKEN,
    MAX_NAME_CHARACTERS,
    Caller,
    check_form,
    invalid_token,
)
from taskgate_server.auth.jwks import KeySource
from taskgate_server.bounded_cache import BoundedCache

MAX_CACHE_BYTES: Final = 16 * 1024 * 1024
MAX_CACHED_SECONDS: Final = 60.0
"""How long a verified token is accepted without verification. A signature takes some 0.1 ms."""

MAX_GROUPS: Final = 200

KUBERNETES_SERVICE: Final = "system:serviceaccount:"
"""The prefix of the subjects of Kubernetes' service account tokens:
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens"""


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
        check_form(token)
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
            raise invalid_token() from None

    async def _find_key(self, token: str) -> jwt.PyJWK:
        """Return the key that the token's header names."""
        try:
            header = jwt.get_unverified_header(token)
        except Exception:  # noqa: BLE001  # PyJWTError, RecursionError of json, and others
            raise invalid_token() from None
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            allowed = ", ".join(self._rules.algorithms)
            raise invalid_token(f"the token must be signed with one of these: {allowed}")
        key = await self._keys.find(header.get("kid"))
        if key is None or key.algorithm_name != algorithm:
            raise invalid_token(f"no key of the issuer has signed the token: {GET_NEW_TOKEN}")
        return key


def _check_bounds(subject: str, groups: tuple[str, ...]) -> None:
    """Refuse claims that are too large for logs and caches.

    Raises:
        errors.TaskgateError: UNAUTHENTICATED.
    """
    if not 0 < len(subject) <= MAX_NAME_CHARACTERS:
        raise invalid_token(f"the token's subject must have 1 to {MAX_NAME_CHARACTERS} characters")
    if len(groups) > MAX_GROUPS:
        raise invalid_token(
            f"the token has {len(groups)} groups, and {MAX_GROUPS} are allowed: configure its"
            " issuer to include only the groups that this server's policy names"
        )
    if any(len(each) > MAX_NAME_CHARACTERS for each in groups):
        raise invalid_token(
            f"each of the token's groups may have {MAX_NAME_CHARACTERS} characters at most"
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _refusal(error: jwt.PyJWTError, rules: TokenRules) -> errors.TaskgateError:
    """Return the error for one of PyJWT, whose own text may quote claims."""
    match error:
        case jwt.ExpiredSignatureError():
            return errors.OwnError(
                errors.Reason.TOKEN_EXPIRED, f"the token has expired: {GET_NEW_TOKEN}"
            )
        case jwt.ImmatureSignatureError():
            return invalid_token("the token is not valid yet: wait, or correct the clocks")
        case jwt.InvalidAudienceError():
            return invalid_token(
                f"the token is for another audience: get a token for {rules.audience}"
            )
        case jwt.InvalidIssuerError():
            return invalid_token(f"the token has another issuer: get a token from {rules.issuer}")
        case jwt.MissingRequiredClaimError():
            return invalid_token("the token must have the claims exp, sub, iss and aud")
        case _:
            return invalid_token()


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
