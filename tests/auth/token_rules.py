"""The rules of the tokens that `tests.support.issuer` signs."""

from __future__ import annotations

from taskgate_server.auth.tokens import TokenRules
from tests.support.issuer import AUDIENCE, ISSUER

RULES = TokenRules(
    issuer=ISSUER, audience=AUDIENCE, algorithms=("ES256",), leeway=30, groups_claim="groups"
)
