"""Which AWS account and region a call is for: what serves it there is chosen here.

Each target has its own behaviour of each RPC, made at start. The call's metadata names one, and the
policy has allowed it by the time that it is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from taskgate_server import errors
from taskgate_server.calls import TARGET_KEY, Behaviour, CallContext, Rpc


def by_target(rpcs: Mapping[str, Iterable[Rpc]]) -> list[Rpc]:
    """One RPC of each method, for the target that the call names.

    Args:
        rpcs: all of each target. An RPC that no other target has is the default one's for all.
    """
    behaviours: dict[str, dict[str, Behaviour]] = {}
    first: dict[str, Rpc] = {}
    for target, each in rpcs.items():
        for rpc in each:
            first.setdefault(rpc.method, rpc)
            behaviours.setdefault(rpc.method, {})[target] = rpc.behaviour
    return [
        replace(rpc, behaviour=_choosing(behaviours[method], list(rpcs)))
        for method, rpc in first.items()
    ]


def _choosing(behaviours: Mapping[str, Behaviour], targets: Sequence[str]) -> Behaviour:
    # No coroutine of its own: what it gives is the behaviour's awaitable or iterator.
    def serve(request: Any, call: CallContext) -> Any:
        behaviour = behaviours.get(call.target)
        if behaviour is None:
            names = ", ".join(targets)
            fault = f"there is no such target; there are {names}"
            raise errors.invalid_request({TARGET_KEY: fault})
        return behaviour(request, call)

    return serve
