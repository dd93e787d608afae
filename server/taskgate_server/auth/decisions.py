"""The decisions of the policy, cached by everything that they follow from."""

from __future__ import annotations

from typing import Final, TypeAlias

from taskgate_server import errors
from taskgate_server.auth.actions import Action
from taskgate_server.auth.authentication import ANONYMOUS, Caller
from taskgate_server.auth.permits import may_permit_anonymous
from taskgate_server.auth.policy import Policy
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import DEFAULT_TARGET, ResourcePath
from taskgate_server.reloading import ReloadingFile

MAX_DECISION_BYTES: Final = 16 * 1024 * 1024

Key: TypeAlias = tuple[Caller, str, ResourcePath, str]
"""Caller, action, resource and target."""


class Decisions:
    """Decides by the newest policy; a decision of an older one does not count.

    Args:
        policy: reloaded when its files change.
        tokens_wanted: whether a caller without identity could have one with a token.
        max_bytes: of the cache.
    """

    def __init__(
        self,
        policy: ReloadingFile[Policy],
        *,
        tokens_wanted: bool,
        max_bytes: int = MAX_DECISION_BYTES,
    ) -> None:
        self.denied = 0
        """Denials so far, for metrics."""
        self._policy = policy
        self._tokens_wanted = tokens_wanted
        self._cache: BoundedCache[Key, tuple[int, bool]] = BoundedCache(max_bytes)
        self._anonymous: dict[Action, tuple[int, bool]] = {}

    @property
    def version(self) -> int:
        """The number of the active policy."""
        return self._policy.changes

    def may_permit(self, caller: Caller, action: Action) -> bool:
        """Return whether the caller can be allowed the action on any resource at all.

        Costs constant time, whatever the request. It is answered for callers without identity;
        those that have one are known and limited.
        """
        if caller != ANONYMOUS:
            return True
        known = self._anonymous.get(action)
        if known is not None and known[0] == self.version:
            return known[1]
        permitted = may_permit_anonymous(self._policy.value.policies, action)
        self._anonymous[action] = self.version, permitted
        return permitted

    def refusal(
        self, caller: Caller, action: Action, resource: ResourcePath, target: str = DEFAULT_TARGET
    ) -> errors.TaskgateError | None:
        """Return the error of a caller that may not do the action on the resource; else None."""
        if self._allows(caller, action, resource, target):
            return None
        return self.denial(caller, action, "/".join(key for _, key in resource))

    def denial(self, caller: Caller, action: Action, resource: str) -> errors.TaskgateError:
        """Count a denial and return its error.

        Args:
            caller: who is denied.
            action: what it is denied.
            resource: the ids that the request names; empty if it was not read.
        """
        self.denied += 1
        if caller == ANONYMOUS and self._tokens_wanted:
            return errors.unauthenticated(
                "IDENTITY_MISSING",
                "this needs a token in the metadata: `authorization: Bearer` and the token",
            )
        return errors.policy_denied(str(caller), action.name, resource)

    def _allows(self, caller: Caller, action: Action, resource: ResourcePath, target: str) -> bool:
        key = caller, action.name, resource, target
        known = self._cache.get(key)
        if known is not None and known[0] == self.version:
            return known[1]
        allowed = self._policy.value.allows(caller, action, resource, target)
        self._cache.put(key, (self.version, allowed), _size(key))
        return allowed


def _size(key: Key) -> int:
    """Return the bytes of a key, each string with its header."""
    caller, action, resource, target = key
    texts = [caller.id, action, target, *caller.groups, *(key for _, key in resource)]
    return sum(len(text.encode(errors="replace")) + 50 for text in texts) + 64 * len(resource)
