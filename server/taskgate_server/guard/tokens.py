"""Bearer tokens: JSON Web Tokens (RFC 7519) of one issuer, for this server.

A token is never logged, and no error quotes it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jwt

from taskgate_server import errors
from taskgate_server.guard.keys import KeysError, KeySet

KNOWN_TOKENS = 10_000
KNOWN_SECONDS = 60.0
"""How long a token that was verified is taken as it is. A signature takes some 0.1 ms to verify."""

LONGEST_TOKEN = 16 * 1024

Claims: TypeAlias = Mapping[str, Any]
"""`sub`, and `groups` as a tuple."""

FRESH = "get a new token from its issuer"


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
        clock: seconds since 1970, for what is kept; PyJWT has its own.
    """

    def __init__(
        self, keys: KeySet, rules: TokenRules, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Claims]] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """What the token says of its holder.

        Raises:
            errors.TaskgateError: UNAUTHENTICATED, with what to do; UNAVAILABLE without keys.
        """
        known = self._known.get(token)
        if known is not None:
            if self._clock() < known[0]:
                return known[1]
            del self._known[token]
        claims = await self._verified(token)
        until = min(float(claims["exp"]) + self._rules.leeway, self._clock() + KNOWN_SECONDS)
        told = {"sub": claims["sub"], "groups": _groups(claims, self._rules.groups_claim)}
        self._known[token] = until, told
        if len(self._known) > KNOWN_TOKENS:
            self._known.popitem(last=False)
        return told

    async def _verified(self, token: str) -> Claims:
        key = await self._key(token)
        rules = self._rules
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[*rules.algorithms],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise _refused(error, rules) from None
        except Exception:  # noqa: BLE001  # whatever a caller's bytes do to the parser
            raise _invalid() from None

    async def _key(self, token: str) -> jwt.PyJWK:
        """The key that the token says it is signed with."""
        try:
            if len(token) > LONGEST_TOKEN:
                raise _invalid()
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise _invalid() from None
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            allowed = ", ".join(self._rules.algorithms)
            raise errors.unauthenticated(
                "TOKEN_INVALID", f"the token must be signed by one of these: {allowed}"
            )
        try:
            key = await self._keys.find(header.get("kid"))
        except KeysError:
            raise errors.keys_unavailable() from None
        if key is None or key.algorithm_name != algorithm:
            raise errors.unauthenticated(
                "TOKEN_INVALID", f"the token is signed by no key of its issuer's: {FRESH}"
            )
        return key


def _invalid() -> errors.TaskgateError:
    return errors.unauthenticated("TOKEN_INVALID", f"this is no valid token: {FRESH}")


def _refused(error: jwt.PyJWTError, rules: TokenRules) -> errors.TaskgateError:
    """PyJWT's fault in our words: its own may quote claims."""
    if isinstance(error, jwt.ExpiredSignatureError):
        return errors.unauthenticated("TOKEN_EXPIRED", f"the token has expired: {FRESH}")
    if isinstance(error, jwt.ImmatureSignatureError):
        return errors.unauthenticated(
            "TOKEN_INVALID", "the token is not valid yet: wait, or set the clocks right"
        )
    if isinstance(error, jwt.InvalidAudienceError):
        return errors.unauthenticated(
            "TOKEN_INVALID", f"the token is for another audience: get one for {rules.audience}"
        )
    if isinstance(error, jwt.InvalidIssuerError):
        return errors.unauthenticated(
            "TOKEN_INVALID", f"the token is of another issuer: get one of {rules.issuer}"
        )
    if isinstance(error, jwt.MissingRequiredClaimError):
        return errors.unauthenticated(
            "TOKEN_INVALID", "the token must have the claims exp, sub, iss and aud"
        )
    return _invalid()


def _groups(claims: Claims, path: str) -> tuple[str, ...]:
    """The caller's groups, in whatever of the usual forms: a list, or one word."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return (found,)
    return tuple(str(each) for each in found) if isinstance(found, list) else ()
