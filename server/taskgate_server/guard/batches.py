"""Unified RPCs with many tasks in a request: each is allowed or denied for itself.

What is allowed goes on as a smaller request; the answers come back together in the caller's order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf.message import Message
from grpc import StatusCode

from taskgate_server import errors
from taskgate_server.calls import Call, Rpc
from taskgate_server.guard.resources import Path, task_path
from taskgate_server.status import to_status

RESULTS = "results"
"""The answers of a batch: messages with `name` and `error`."""

ITEM_FIELDS = ("names", "updates")


MOST_ITEMS = 1000
"""As many as these RPCs take. A decision takes some 0.1 ms."""

Refuse: TypeAlias = Callable[[Path], "errors.TaskgateError | None"]
"""Tells the error that a path gets; None if it is allowed."""


def find_items(rpc: Rpc) -> str | None:
    """The field that has the items of a request; None for an RPC that answers as one."""
    fields = rpc.request_class.DESCRIPTOR.fields_by_name
    results = rpc.response_class.DESCRIPTOR.fields_by_name.get(RESULTS)
    if results is None or results.message_type is None:
        return None
    if not {"name", "error"} <= set(results.message_type.fields_by_name):
        return None
    return next((field for field in ITEM_FIELDS if field in fields), None)


async def serve(rpc: Rpc, field: str, request: Message, call: Call, refuse: Refuse) -> Any:
    """Asks for the items that are allowed, and answers for the others.

    Args:
        rpc: what serves them.
        field: has the items.
        request: as it came.
        call: the call that it came in.
        refuse: tells who is denied.
    """
    items = list(getattr(request, field))
    names = [item if isinstance(item, str) else item.name for item in items]
    if len(names) > MOST_ITEMS:
        raise errors.invalid_request({field: f"must have 1 to {MOST_ITEMS} entries"})
    refused = [_refusal(name, refuse) for name in names]
    if not any(refused):
        return await rpc.behaviour(request, call)
    denied = sum(each is not None and each.code != StatusCode.INVALID_ARGUMENT for each in refused)
    if denied:
        call.audit["denied_count"] = denied
    answered = iter(await _ask(rpc, field, request, call, refused))
    response = rpc.response_class()
    results: Any = getattr(response, RESULTS)
    for name, error in zip(names, refused, strict=True):
        if error is None:
            results.append(next(answered))
        else:
            results.add(name=name, error=to_status(error, call.call_id))
    return response


def _refusal(name: str, refuse: Refuse) -> errors.TaskgateError | None:
    """Return the error of an item: of its name, else of the policy."""
    try:
        path = task_path(name, "name")
    except errors.TaskgateError as error:
        return error
    return refuse(path)


async def _ask(
    rpc: Rpc, field: str, request: Message, call: Call, refused: list[errors.TaskgateError | None]
) -> list[Message]:
    """The results of the items that are not refused."""
    smaller = type(request)()
    smaller.CopyFrom(request)
    kept: Any = getattr(smaller, field)
    for index in reversed(range(len(refused))):
        if refused[index] is not None:
            del kept[index]
    if not kept:
        return []
    answer = await rpc.behaviour(smaller, call)
    if isinstance(answer, bytes):
        answer = rpc.response_class.FromString(answer)
    return list(getattr(answer, RESULTS))
