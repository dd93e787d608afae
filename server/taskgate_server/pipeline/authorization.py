"""Authorization: the policy decides whether the caller may call the RPC on what the request names.

    AuthorizeAction      before the message is read: can the caller be allowed the RPC at all
    NameResources        the resources that the request names; their number and lengths are bounded
    AuthorizeResources   each of them

Resources are named once for a request: the policy, the audit and open streams use the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache, partial
from typing import Final, TypeAlias

from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.auth import batches
from taskgate_server.auth.actions import USE_TARGET, action_of, is_read
from taskgate_server.auth.decisions import Decisions
from taskgate_server.auth.lifetimes import Lifetimes
from taskgate_server.auth.resources import NOTHING, TARGET, compile_paths
from taskgate_server.auth.scopes import check_count
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import (
    DEFAULT_TARGET,
    CallContext,
    CallRequest,
    ResourcePath,
    Rpc,
    parse_request,
)

MAX_KNOWN_BYTES: Final = 16 * 1024 * 1024
"""Of the requests that are known to be allowed, all RPCs together."""

MAX_KNOWN_REQUEST_BYTES: Final = 2048
"""Longer requests are not cached."""

MAX_KNOWN_RESOURCES: Final = 16
KNOWN_ENTRY_BYTES: Final = 800
"""The tuples and string headers of an entry with a path of five resources."""

Resources: TypeAlias = Sequence[ResourcePath]


class AuthorizeAction:
    """Refuses callers that no policy can allow the RPC, and targets that they may not use.

    Args:
        decisions: of the policy.
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        action = action_of(call.rpc.method)
        if not self._decisions.may_permit(call.principal, action):
            raise self._decisions.deny(call.principal, action, "")
        # A caller that may not use a target must not learn whether a target of the name exists.
        if call.target != DEFAULT_TARGET:
            target = ((TARGET, call.target),)
            refused = self._decisions.decide(call.principal, USE_TARGET, target)
            if refused is not None:
                raise refused
        return call


class KnownRequests:
    """Requests that were allowed, with the resources that they name.

    The same bytes of the same caller need not be parsed and authorized again, until the policy
    changes.

    Args:
        decisions: of the policy.
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions
        self._cache: BoundedCache[Hashable, tuple[int, Resources]] = BoundedCache(MAX_KNOWN_BYTES)

    def find(self, call: CallContext) -> Resources | None:
        """Return the resources of a request that is known to be allowed; None for another one."""
        known = self._cache.get(_key(call))
        return known[1] if known is not None and known[0] == self._decisions.version else None

    def add(self, call: CallContext) -> None:
        """Remember that a request is allowed, if it is short and names few resources."""
        data = call.request.data
        size = len(data) + sum(len(text) for path in call.resources for _, text in path)
        if len(call.resources) <= MAX_KNOWN_RESOURCES and size <= MAX_KNOWN_REQUEST_BYTES:
            size += KNOWN_ENTRY_BYTES + len(call.caller)
            self._cache.put(_key(call), (self._decisions.version, call.resources), size)


def _key(call: CallContext) -> Hashable:
    return call.principal, call.target, call.rpc.method, call.request.data


Name: TypeAlias = Callable[[CallContext, Message], CallContext]
"""Returns a call with the resources that its request message names."""


class NameResources:
    """Finds the resources that a request names, within bounds.

    Args:
        known: requests that are known to be allowed; None without a policy. Then resources are
            found only for the audit, of RPCs that write.
    """

    def __init__(self, known: KnownRequests | None) -> None:
        self._known = known
        self._compile = cache(_compile)

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        rpc, request = call.rpc, call.request
        if self._known is None and is_read(rpc.method):
            return call
        if self._known is not None and not rpc.client_streams:
            resources = self._known.find(call)
            if resources is not None:
                return call._replace(resources=resources, is_known=True)
        message = request.message or parse_request(rpc.request_class, request.data)
        name = partial(self._compile(rpc), call, message)
        call = name() if request.in_thread is None else await request.in_thread(name)
        check_count(len(call.resources), "")
        return call._replace(request=request._replace(message=message))


def _compile(rpc: Rpc) -> Name:
    paths = compile_paths(rpc.method, rpc.request_class)
    if batches.find_items(rpc) is None:
        return lambda call, message: call._replace(resources=paths(message))

    def name_items(call: CallContext, message: Message) -> CallContext:
        items = paths(message)
        return call._replace(items=items, resources=[path for path in items if path is not NOTHING])

    return name_items


class AuthorizeResources:
    """Refuses a call unless its caller may call the RPC on all resources that the request names.

    The items of a unified batch are decided one by one: those that are refused have errors in the
    response. Long calls are decided again when the policy changes.

    Args:
        decisions: of the policy.
        known: gets the requests that are allowed.
        lifetimes: of the long calls.
    """

    def __init__(self, decisions: Decisions, known: KnownRequests, lifetimes: Lifetimes) -> None:
        self._decisions = decisions
        self._known = known
        self._lifetimes = lifetimes

    async def enter(self, call: CallContext) -> CallContext:
        """See `Stage.enter`."""
        if call.items:
            return self._authorize_items(call)
        if not call.is_known:
            refused = self._refusal(call)
            if refused is not None:
                raise refused
            self._known.add(call)
        return self._begin(call) if call.rpc.is_long else call

    def _refusal(self, call: CallContext) -> errors.TaskgateError | None:
        action = action_of(call.rpc.method)
        for resource in call.resources:
            refused = self._decisions.decide(call.principal, action, resource, call.target)
            if refused is not None:
                return refused
        return None

    def _authorize_items(self, call: CallContext) -> CallContext:
        action = action_of(call.rpc.method)
        refused = [
            None
            if path is NOTHING
            else self._decisions.decide(call.principal, action, path, call.target)
            for path in call.items
        ]
        count = sum(each is not None for each in refused)
        if not count:
            return call
        call.record.audit["denied_count"] = count
        return call._replace(refused_items=refused)

    def _begin(self, call: CallContext) -> CallContext:
        """Return a long call that ends with its caller's authority."""
        watched = call._replace(request=CallRequest())  # without its message, maybe megabytes
        lifetime = self._lifetimes.limit(lambda: self._refusal(watched), call.expires_at)
        return call._replace(lifetime=lifetime)
