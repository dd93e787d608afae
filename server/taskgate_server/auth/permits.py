"""Which actions the policy can permit to a caller without identity, known before any request.

Most policies permit nothing to `Anonymous`. Then such a caller is refused before its message is
read. Only the scopes of the policies are looked at, not their conditions, so the answer may be yes
for a call that is denied later, and never no for one that would be permitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from taskgate_server.auth.actions import Action
from taskgate_server.auth.authentication import ANONYMOUS

PolicyJson: TypeAlias = Mapping[str, Any]
"""A policy in Cedar's JSON format: https://docs.cedarpolicy.com/policies/json-format.html"""


def may_permit_anonymous(policies: Iterable[PolicyJson], action: Action) -> bool:
    """Return whether any policy can permit the action to a caller without identity.

    Args:
        policies: all of them, with `forbid`s.
        action: what the caller does.
    """
    return any(
        each["effect"] == "permit"
        and _includes_anonymous(each["principal"])
        and _includes_action(each["action"], action)
        for each in policies
    )


def _includes_anonymous(scope: Mapping[str, Any]) -> bool:
    match scope["op"]:
        case "All":
            return True
        case "is":
            return "in" not in scope and scope["entity_type"] == ANONYMOUS.kind
        case "==":
            return bool(scope["entity"] == {"type": ANONYMOUS.kind, "id": ANONYMOUS.id})
        case _:  # in a Group, in which `Anonymous` never is
            return False


def _includes_action(scope: Mapping[str, Any], action: Action) -> bool:
    if scope["op"] == "All":
        return not action.must_be_named
    entities = scope.get("entities", [scope.get("entity")])
    return any(each["id"] in (action.name, action.group) for each in entities)
