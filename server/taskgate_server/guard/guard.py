"""What stands before each RPC: who calls, has it room, may it. AWS is not asked before that.

Decisions are kept by what they follow from: caller, RPC and the bytes of the request.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from google.protobuf.message import Message

from taskgate_server import errors
from taskgate_server.calls import DEFAULT_TARGET, Behaviour, Call, Rpc, Wire, parse_request
from taskgate_server.guard import batches
from taskgate_server.guard.actions import USE_TARGET, Action, action_of
from taskgate_server.guard.callers import ANONYMOUS, Caller, Callers
from taskgate_server.guard.limits import Fairness
from taskgate_server.guard.policy import Policy
from taskgate_server.guard.resources import TARGET, Path, Paths, compile_paths, told
from taskgate_server.reloading import ReloadingFile

KNOWN_REQUESTS = 4096
"""Requests of one RPC that are known to be allowed; the oldest is forgotten first."""

KNOWN_BYTES = 1024
"""A longer request is not kept."""

KNOWN_DECISIONS = 50_000

MOST_RESOURCES = 1000
"""Resources of one request: as many as BatchGetTasks takes names. A decision takes some 0.1 ms."""

Allowed: TypeAlias = "OrderedDict[tuple[Caller, str, bytes], int]"
"""Who may send which request to which target, by the policy of that number."""


Decisions: TypeAlias = "OrderedDict[tuple[Caller, str, Path, str], tuple[int, bool]]"
"""Whether somebody may do an action on a path in a target, by the policy of that number."""


@dataclass(frozen=True, slots=True)
class _Gate:
    """An RPC as the policy sees it."""

    rpc: Rpc
    action: Action
    paths: Paths
    allowed: Allowed


class Guard:
    """Puts itself around RPCs.

    Args:
        callers: finds out who calls.
        policy: the newest one; None lets everybody do everything.
        fairness: counts what each caller does; None for no limits.
        tokens_wanted: whether who is unknown could be known with a token.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        callers: Callers,
        policy: ReloadingFile[Policy] | None,
        fairness: Fairness | None,
        *,
        tokens_wanted: bool,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.denied = 0
        """What the policy has denied so far, for metrics."""
        self._callers = callers
        self._policy = policy
        self._fairness = fairness
        self._tokens_wanted = tokens_wanted
        self._sleep = sleep
        self._decisions: Decisions = OrderedDict()

    @property
    def limited(self) -> int:
        """Calls refused so far since their caller made too many."""
        return 0 if self._fairness is None else self._fairness.refused

    def around(self, rpc: Rpc) -> Rpc:
        """The RPC for those who may."""
        paths = compile_paths(rpc.method, rpc.request_class)
        gate = _Gate(rpc, action_of(rpc.method), paths, OrderedDict())
        if rpc.client_streams:
            behaviour = self._receiving(gate)
        elif rpc.server_streams:
            behaviour = self._streaming(gate)
        else:
            behaviour = self._unary(gate)
        return replace(rpc, behaviour=behaviour, takes_bytes=not rpc.client_streams)

    def _unary(self, gate: _Gate) -> Behaviour:
        rpc, items = gate.rpc, batches.find_items(gate.rpc)

        async def serve(request: bytes, call: Call) -> Any:
            caller = await self._enter(call)
            with await self._visit(caller, call, stream=False):
                if self._knows(gate, caller, call, request):
                    return await rpc.behaviour(_as_taken(rpc, request), call)
                message = parse_request(rpc.request_class, request)
                if items is not None:
                    refuse = self._refusal(gate.action, caller, call)
                    return await batches.serve(rpc, items, message, call, refuse)
                self._demand(gate, caller, call, message)
                self._remember(gate, caller, call, request)
                return await rpc.behaviour(request if rpc.takes_bytes else message, call)

        return serve

    def _streaming(self, gate: _Gate) -> Behaviour:
        rpc = gate.rpc

        async def serve(request: bytes, call: Call) -> AsyncIterator[Any]:
            caller = await self._enter(call)
            with await self._visit(caller, call, stream=True):
                message = parse_request(rpc.request_class, request)
                self._demand(gate, caller, call, message)
                async with aclosing(rpc.behaviour(message, call)) as responses:
                    async for response in responses:
                        yield response

        return serve

    def _receiving(self, gate: _Gate) -> Behaviour:
        """The caller streams: the first message says what it is about."""
        rpc = gate.rpc

        async def checked(
            requests: AsyncIterator[Message], caller: Caller, call: Call
        ) -> AsyncIterator[Message]:
            first = True
            async for request in requests:
                if first:
                    self._demand(gate, caller, call, request)
                    first = False
                yield request

        async def serve(requests: AsyncIterator[Message], call: Call) -> Any:
            caller = await self._enter(call)
            with await self._visit(caller, call, stream=True):
                return await rpc.behaviour(checked(requests, caller, call), call)

        async def stream(requests: AsyncIterator[Message], call: Call) -> AsyncIterator[Any]:
            caller = await self._enter(call)
            with await self._visit(caller, call, stream=True):
                responses = rpc.behaviour(checked(requests, caller, call), call)
                async with aclosing(responses):
                    async for response in responses:
                        yield response

        return stream if rpc.server_streams else serve

    async def _enter(self, call: Call) -> Caller:
        caller = await self._callers.find(_wire(call))
        call.caller = str(caller)
        if call.target != DEFAULT_TARGET:
            # Before anything tells whether there is such a target.
            refused = self._refusal(USE_TARGET, caller, call)(((TARGET, call.target),))
            if refused is not None:
                raise refused
        return caller

    async def _visit(
        self, caller: Caller, call: Call, *, stream: bool
    ) -> AbstractContextManager[None]:
        """Lets the caller in, if it has room; what it gives goes around the call.

        Raises:
            errors.TaskgateError: RESOURCE_EXHAUSTED with RetryInfo.
        """
        if self._fairness is None:
            return nullcontext()
        key = str(caller) if caller is not ANONYMOUS else _host(_wire(call).peer())
        try:
            return self._fairness.visit(key, stream=stream)
        except errors.TaskgateError:
            held = self._fairness.held_back(key)
            if held:
                await self._sleep(held)
            raise

    def _knows(self, gate: _Gate, caller: Caller, call: Call, request: bytes) -> bool:
        """Whether nothing is left to decide."""
        if self._policy is None:
            return True
        return gate.allowed.get((caller, call.target, request)) == self._policy.changes

    def _remember(self, gate: _Gate, caller: Caller, call: Call, request: bytes) -> None:
        if self._policy is not None and len(request) <= KNOWN_BYTES:
            gate.allowed[caller, call.target, request] = self._policy.changes
            if len(gate.allowed) > KNOWN_REQUESTS:
                gate.allowed.popitem(last=False)

    def _demand(self, gate: _Gate, caller: Caller, call: Call, request: Message) -> None:
        """Raises errors.TaskgateError unless the caller may do this on all that it names."""
        refuse = self._refusal(gate.action, caller, call)
        paths = gate.paths(request)
        if len(paths) > MOST_RESOURCES:
            raise errors.invalid_request({"": f"names more than {MOST_RESOURCES} resources"})
        for path in paths:
            refused = refuse(path)
            if refused is not None:
                raise refused

    def _refusal(
        self, action: Action, caller: Caller, call: Call
    ) -> Callable[[Path], errors.TaskgateError | None]:
        """The function from a path to the error that it gets, or None."""

        def refuse(path: Path) -> errors.TaskgateError | None:
            if self._allows(caller, action, path, call.target):
                return None
            self.denied += 1
            if caller is ANONYMOUS and self._tokens_wanted:
                return errors.unauthenticated(
                    "IDENTITY_MISSING",
                    "this needs a token in the metadata: `authorization: Bearer` and the token",
                )
            return errors.policy_denied(str(caller), action.name, told(path))

        return refuse

    def _allows(self, caller: Caller, action: Action, path: Path, target: str) -> bool:
        if self._policy is None:
            return True
        key = caller, action.name, path, target
        version = self._policy.changes
        known = self._decisions.get(key)
        if known is not None and known[0] == version:
            return known[1]
        allowed = self._policy.value.allows(caller, action, path, target)
        self._decisions[key] = version, allowed
        if len(self._decisions) > KNOWN_DECISIONS:
            self._decisions.popitem(last=False)
        return allowed


def _as_taken(rpc: Rpc, request: bytes) -> Any:
    return request if rpc.takes_bytes else parse_request(rpc.request_class, request)


def _wire(call: Call) -> Wire:
    if call.wire is None:
        raise TypeError("a call that did not come over gRPC has nobody to ask for leave")
    return call.wire


def _host(peer: str) -> str:
    """Where a caller is, without the port, which is another for each connection."""
    return peer.rpartition(":")[0] or peer
