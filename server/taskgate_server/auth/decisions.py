"""Authorization: the decisions of the policy, cached by their inputs and the policy's version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from taskgate_server import errors
from taskgate_server.auth.actions import USE_TARGET, Action
from taskgate_server.auth.authentication import ANONYMOUS, Caller
from taskgate_server.auth.resources import TARGET
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import DEFAULT_TARGET, ResourcePath
from taskgate_server.reloading import ReloadingFile

if TYPE_CHECKING:  # its library takes 3 MiB, and a server on loopback has no policy
    from taskgate_server.auth.policy import Policy

MAX_CACHE_BYTES: Final = 16 * 1024 * 1024

Key: TypeAlias = tuple[Caller, str, ResourcePath, str]
"""Caller, action, resource and target."""


class Decisions:
    """Decides by the active policy; decisions of earlier versions are ignored.

    Cedar takes some 250 us for a decision, the cache less than one.

    Args:
        policy: reloaded when its files change.
        accepts_tokens: whether a caller without identity could present a token.
    """

    def __init__(self, policy: ReloadingFile[Policy], *, accepts_tokens: bool) -> None:
        self.denied = 0
        """Denials so far, for metrics."""
        self._policy = policy
        self._accepts_tokens = accepts_tokens
        self._cache: BoundedCache[Key, tuple[int, bool]] = BoundedCache(MAX_CACHE_BYTES)

    @property
    def version(self) -> int:
        """The number of the active policy."""
        return self._policy.changes

    def may_permit(self, caller: Caller, action: Action) -> bool:
        """Return whether the caller can be allowed the action on any resource.

        Takes constant time, whatever the request. Only callers without identity are examined:
        others are known and limited.
        """
        return caller != ANONYMOUS or self._policy.value.may_permit_anonymous(action)

    def decide(
        self, caller: Caller, action: Action, resource: ResourcePath, target: str = DEFAULT_TARGET
    ) -> errors.TaskgateError | None:
        """Return the error for a caller that may not do the action on the resource; else None."""
        if self._allows(caller, action, resource, target):
            return None
        return self.deny(caller, action, "/".join(key for _, key in resource))

    def may_use_target(self, caller: Caller, target: str) -> bool:
        """Return whether the caller may use a target, without counting a denial."""
        return target == DEFAULT_TARGET or self._allows(
            caller, USE_TARGET, ((TARGET, target),), DEFAULT_TARGET
        )

    def _allows(self, caller: Caller, action: Action, resource: ResourcePath, target: str) -> bool:
        key, version = (caller, action.name, resource, target), self._policy.changes
        cached = self._cache.get(key)
        if cached is not None and cached[0] == version:
            return cached[1]
        allowed = self._policy.value.allows(caller, action, resource, target)
        self._cache.put(key, (version, allowed), _size(key))
        return allowed

    def deny(self, caller: Caller, action: Action, resource: str) -> errors.TaskgateError:
        """Count a denial and return its error.

        Args:
            caller: the caller that is denied.
            action: the action that it is denied.
            resource: the ids that the request names; empty if it was not read.
        """
        self.denied += 1
        if caller == ANONYMOUS and self._accepts_tokens:
            return errors.OwnError(
                errors.Reason.IDENTITY_MISSING,
                "this call needs a token in the metadata: `authorization: Bearer` and the token",
            )
        where = f" on {resource}" if resource else ""
        return errors.OwnError(
            errors.Reason.POLICY_DENIED,
            f"the policy of this server does not allow {caller} to do {action.name}{where}",
            metadata={"caller": str(caller), "action": action.name, "resource": resource},
        )


def _size(key: Key) -> int:
    """Return the bytes of a key, each string with its header."""
    caller, action, resource, target = key
    texts = [caller.id, action, target, *caller.groups, *(key for _, key in resource)]
    return sum(len(text.encode(errors="replace")) + 50 for text in texts) + 64 * len(resource)
