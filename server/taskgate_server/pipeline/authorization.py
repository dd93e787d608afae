"""Authorization: the policy decides whether the caller may do this, on all that the request names.

    AuthorizeAction      before the message is read: can the caller be allowed this at all
    NameResources        which resources the request names; their number and lengths are bounded
    AuthorizeResources   each of them

Resources are named once for a request: the policy, the audit and open streams use the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Final, TypeAlias

from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.auth import batches
from taskgate_server.auth.actions import USE_TARGET, Action, action_of, is_read
from taskgate_server.auth.decisions import Decisions
from taskgate_server.auth.lifetimes import Lifetimes
from taskgate_server.auth.resources import NOTHING, TARGET, compile_paths
from taskgate_server.bounded_cache import BoundedCache
from taskgate_server.calls import DEFAULT_TARGET, Call, ResourcePath, Rpc, parse_request
from taskgate_server.pipeline.stage import Enter

MAX_RESOURCES: Final = 1000
"""Resources of one request: as many as BatchGetTasks takes names. A decision takes some 0.1 ms."""

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

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        if rpc.is_public:
            return None
        action, decisions = action_of(rpc.method), self._decisions

        async def enter(call: Call) -> None:
            caller = call.principal
            if not decisions.may_permit(caller, action):
                raise decisions.deny(caller, action, "")
            # A caller that may not use a target must not find out whether there is one of the name.
            if call.target != DEFAULT_TARGET:
                refused = decisions.decide(caller, USE_TARGET, ((TARGET, call.target),))
                if refused is not None:
                    raise refused

        return enter


class KnownRequests:
    """Requests that were allowed, with the resources that they name.

    The same bytes of the same caller need not be parsed and authorized again, until the policy
    changes.

    Args:
        decisions: of the policy.
        max_bytes: of the cache.
    """

    def __init__(self, decisions: Decisions, max_bytes: int = MAX_KNOWN_BYTES) -> None:
        self._decisions = decisions
        self._cache: BoundedCache[Hashable, tuple[int, Resources]] = BoundedCache(max_bytes)

    def find(self, call: Call) -> Resources | None:
        """Return the resources of a request that is known to be allowed; None for another one."""
        known = self._cache.get((call.principal, call.target, call.method, call.data))
        return known[1] if known is not None and known[0] == self._decisions.version else None

    def add(self, call: Call) -> None:
        """Remember that a request is allowed, if it is short and names few resources."""
        size = len(call.data) + sum(len(text) for path in call.resources for _, text in path)
        if len(call.resources) <= MAX_KNOWN_RESOURCES and size <= MAX_KNOWN_REQUEST_BYTES:
            key = call.principal, call.target, call.method, call.data
            size += KNOWN_ENTRY_BYTES + len(call.caller)
            self._cache.put(key, (self._decisions.version, call.resources), size)


class NameResources:
    """Finds the resources that a request names, within bounds.

    Args:
        known: requests that need not be looked at again; None without a policy. Then resources are
            found only for the audit, of RPCs that write.
    """

    def __init__(self, known: KnownRequests | None) -> None:
        self._known = known

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        if rpc.is_public or (self._known is None and is_read(rpc.method)):
            return None
        known, name = self._known, _naming(rpc)

        async def enter(call: Call) -> None:
            if known is not None and not rpc.client_streams:
                resources = known.find(call)
                if resources is not None:
                    call.resources, call.is_known = resources, True
                    return
            if call.message is None:
                call.message = parse_request(rpc.request_class, call.data)
            if call.in_thread is None:
                name(call, call.message)
            else:
                await call.in_thread(partial(name, call, call.message))
            if len(call.resources) > MAX_RESOURCES:
                raise errors.invalid_request({"": f"names more than {MAX_RESOURCES} resources"})

        return enter


def _naming(rpc: Rpc) -> Callable[[Call, Message], None]:
    """Return the function that sets the resources of a call from its request message."""
    paths = compile_paths(rpc.method, rpc.request_class)
    has_items = batches.find_items(rpc) is not None

    def name(call: Call, message: Message) -> None:
        call.resources = paths(message)
        if has_items:
            call.items = call.resources
            call.resources = [path for path in call.items if path is not NOTHING]

    return name


class AuthorizeResources:
    """Refuses a call unless its caller may do it on all resources that the request names.

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

    def of(self, rpc: Rpc) -> Enter | None:
        """See `Stage.of`."""
        if rpc.is_public:
            return None
        action = action_of(rpc.method)
        has_items = batches.find_items(rpc) is not None

        async def enter(call: Call) -> None:
            if has_items:
                self._authorize_items(call, action)
                return
            if not call.is_known:
                refused = self._refusal(call, action)
                if refused is not None:
                    raise refused
                self._known.add(call)
            if rpc.is_long:
                self._begin(call, action)

        return enter

    def _refusal(self, call: Call, action: Action) -> errors.TaskgateError | None:
        for resource in call.resources:
            refused = self._decisions.decide(call.principal, action, resource, call.target)
            if refused is not None:
                return refused
        return None

    def _authorize_items(self, call: Call, action: Action) -> None:
        refused = [
            None
            if path is NOTHING
            else self._decisions.decide(call.principal, action, path, call.target)
            for path in call.items
        ]
        count = sum(each is not None for each in refused)
        if count:
            call.refused_items = refused
            call.audit["denied_count"] = count

    def _begin(self, call: Call, action: Action) -> None:
        lifetime = self._lifetimes.begin(lambda: self._refusal(call, action), call.expires_at)
        call.lifetime = lifetime
        call.ends.append(lambda: self._lifetimes.finish(lifetime))
