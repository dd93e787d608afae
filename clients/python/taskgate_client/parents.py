"""Which job or run a call is about, told in its metadata for proxies that cannot read messages.

A proxy that hashes it sends all calls about one job to one replica, so that AWS is asked by one
poller for all who watch it, wherever they connect (docs/kubernetes.md). The server does not read
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import grpc
from google.protobuf.message import Message

PARENT_KEY = "taskgate-parent"

WHOLES = ("jobs", "runs")
"""What one poller of the server asks for as a whole: steps and tasks are parts of it."""


def parent_of(name: str) -> str:
    """The job or run in a name of it, of a step or of a task; any other name as it is."""
    service, *rest = name.split("/")
    for index, collection in enumerate(rest[::2]):
        if collection in WHOLES:
            return "/".join([service, *rest[: 2 * index + 2]])
    return name


def shared_parent(request: Message) -> str | None:
    """The one parent of all that a request names; None where there are several, or none."""
    parents = {parent_of(name) for name in _names(request)}
    if len(parents) != 1:
        return None
    parent = parents.pop()
    # Metadata takes nothing else, and such a name is none: the server says so.
    return parent if parent and parent.isascii() and parent.isprintable() else None


def told_to_proxies(channel: Any) -> grpc.Channel:
    """A channel for a stub of TaskService whose calls tell their parent.

    No interceptor: gRPC's for asyncio wrap each call in a task of their own.

    Args:
        channel: a blocking one, or one for asyncio.
    """
    return cast(grpc.Channel, _Telling(channel))


class _Telling:
    """Makes the two kinds of call that TaskService has."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def unary_unary(self, *arguments: Any, **more: Any) -> Callable[..., Any]:
        return _telling(self._channel.unary_unary(*arguments, **more))

    def unary_stream(self, *arguments: Any, **more: Any) -> Callable[..., Any]:
        return _telling(self._channel.unary_stream(*arguments, **more))


def _telling(call: Callable[..., Any]) -> Callable[..., Any]:
    def tell(request: Message, timeout: float | None = None) -> Any:
        parent = shared_parent(request)
        metadata = None if parent is None else ((PARENT_KEY, parent),)
        return call(request, timeout=timeout, metadata=metadata)

    return tell


def _names(request: Message) -> Iterable[str]:
    """The names in whichever of the fields the request has."""
    for field in ("name", "parent"):
        if getattr(request, field, ""):
            yield getattr(request, field)
    yield from getattr(request, "names", ())
    yield from (update.name for update in getattr(request, "updates", ()))
