"""The job or run that a call is about, sent as metadata for proxies, which cannot read messages.

A proxy that hashes it routes all calls about one job to one replica, whose single poller then
serves all of its watchers (docs/kubernetes.md). The server does not read it.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message

PARENT_KEY = "taskgate-parent"

POLLED_COLLECTIONS = ("jobs", "runs")
"""Collections whose members the server polls as a whole, with their steps and tasks."""


def parent_of(name: str) -> str:
    """Return the job or run in the name of a job, run, step or task; any other name unchanged."""
    service, *rest = name.split("/")
    for index, collection in enumerate(rest[::2]):
        if collection in POLLED_COLLECTIONS:
            return "/".join([service, *rest[: 2 * index + 2]])
    return name


def shared_parent(request: Message) -> str | None:
    """Return the parent that all names in a request share; None if there is no such parent."""
    parents = {parent_of(name) for name in _names(request)}
    if len(parents) != 1:
        return None
    parent = parents.pop()
    # Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
    return parent if parent and parent.isascii() and parent.isprintable() else None


def _names(request: Message) -> Iterable[str]:
    """Yield the names in whichever of these fields the request has."""
    for field in ("name", "parent"):
        if getattr(request, field, ""):
            yield getattr(request, field)
    yield from getattr(request, "names", ())
    yield from (update.name for update in getattr(request, "updates", ()))
