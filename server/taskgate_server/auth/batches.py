"""Unified RPCs with many tasks in a request: each item is authorized separately.

The behaviour receives a request without the refused items. The response has its results and the
errors of the refused items, in the order of the request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message

from taskgate_server.calls import CallContext, Rpc
from taskgate_server.status import to_status

RESULTS: Final = "results"
"""The field of the response with the results: messages with `name` and `error`."""

ITEM_FIELDS: Final = ("names", "updates")


def find_items(rpc: Rpc) -> str | None:
    """Return the field with the items of a request; None for an RPC without items."""
    fields = rpc.request_class.DESCRIPTOR.fields_by_name
    results = rpc.response_class.DESCRIPTOR.fields_by_name.get(RESULTS)
    if results is None or results.message_type is None:
        return None
    if not {"name", "error"} <= set(results.message_type.fields_by_name):
        return None
    return next((field for field in ITEM_FIELDS if field in fields), None)


def serve_allowed(rpc: Rpc) -> Rpc:
    """Return the RPC with a behaviour that leaves out the items of `CallContext.refused_items`."""
    field = find_items(rpc)
    if field is None:
        return rpc

    async def serve(request: Message, call: CallContext) -> Any:
        if not call.refused_items:
            return await rpc.behaviour(request, call)
        names = [_name(item) for item in getattr(request, field)]
        served = iter(await _serve_rest(rpc, field, request, call))
        response = rpc.response_class()
        results: Any = getattr(response, RESULTS)
        for name, error in zip(names, call.refused_items, strict=True):
            if error is None:
                results.append(next(served))
            else:
                results.add(name=name, error=to_status(error, call.call_id))
        return response

    return replace(rpc, behaviour=serve)


async def _serve_rest(rpc: Rpc, field: str, request: Message, call: CallContext) -> list[Message]:
    rest = type(request)()
    rest.CopyFrom(request)
    items: Any = getattr(rest, field)
    for index in reversed(range(len(call.refused_items))):
        if call.refused_items[index] is not None:
            del items[index]
    if not items:
        return []
    response = await rpc.behaviour(rest, call)
    if isinstance(response, bytes):
        response = rpc.response_class.FromString(response)
    return list(getattr(response, RESULTS))


def _name(item: Any) -> str:
    return item if isinstance(item, str) else str(item.name)
