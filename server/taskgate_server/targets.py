"""Selects the behaviour of an RPC for the target of a call, an AWS account and region.

Each target has its own behaviour of each RPC, made at the start. The call's metadata names the
target; its use has been authorized before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from taskgate_server import errors
from taskgate_server.calls import TARGET_KEY, Behaviour, CallContext, Rpc


def select_by_target(rpcs: Mapping[str, Iterable[Rpc]]) -> list[Rpc]:
    """Return one RPC for each method, which serves a call by the behaviour of its target.

    Args:
        rpcs: all RPCs of each target.
    """
    behaviours: dict[str, dict[str, Behaviour]] = {}
    first: dict[str, Rpc] = {}
    for target, each in rpcs.items():
        for rpc in each:
            first.setdefault(rpc.method, rpc)
            behaviours.setdefault(rpc.method, {})[target] = rpc.behaviour
    return [
        replace(rpc, behaviour=_selecting(behaviours[method], list(rpcs)))
        for method, rpc in first.items()
    ]


def _selecting(behaviours: Mapping[str, Behaviour], targets: Sequence[str]) -> Behaviour:
    # Not a coroutine: it returns the behaviour's awaitable or iterator.
    def serve(request: Any, call: CallContext) -> Any:
        behaviour = behaviours.get(call.target)
        if behaviour is None:
            names = ", ".join(targets)
            raise errors.invalid_request({TARGET_KEY: f"unknown target: use one of {names}"})
        return behaviour(request, call)

    return serve
