"""The parent that a call is about, sent as metadata for proxies, which cannot read messages.

A proxy that hashes it routes all calls about one job to one replica, whose single poller then
serves all of its watchers (docs/kubernetes.md). The server does not read it.

It is the parent that the server polls with everything it contains, such as a job or a run. Names of
services that this version does not know belong to what directly contains the task.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message

from taskgate_client.name_forms import match
from taskgate_client.names import ROOT_FORMS

PARENT_KEY = "taskgate-parent"

_ROOTS = {form.partition("/")[0]: form.split("/") for form in ROOT_FORMS}
"""The segments of the form by service."""


def parent_of(name: str) -> str:
    """Return the job or run in the name of a job, run, step or task; any other name unchanged."""
    segments = name.split("/")
    root = _ROOTS.get(segments[0], [])
    start = segments[: len(root)]
    return "/".join(start) if root and match(root, start) is not None else name


def parent_of_task(name: str) -> str:
    """Return the job or run of a task, or what contains the task of an unknown service."""
    service, *rest = name.split("/")
    if service in _ROOTS:
        return parent_of(name)
    return "/".join([service, *(rest[:-2] or rest)])


def shared_parent(request: Message) -> str | None:
    """Return the parent that all names in a request share; None if there is no such parent."""
    parents = set(parents_in(request))
    if len(parents) != 1:
        return None
    parent = parents.pop()
    # Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
    return parent if parent and parent.isascii() and parent.isprintable() else None


def roots_in(request: Message) -> frozenset[str] | None:
    """Return the jobs and runs of all names in a request; None if it may concern others, too."""
    parents = frozenset(parents_in(request))
    return parents if parents and all(map(_is_root, parents)) else None


def _is_root(name: str) -> bool:
    segments = name.split("/")
    return match(_ROOTS.get(segments[0], []), segments) is not None


def parents_in(request: Message) -> Iterable[str]:
    """Yield the parent of each name in whichever of these fields the request has."""
    if getattr(request, "name", ""):
        yield parent_of_task(request.name)  # type: ignore[attr-defined]  # checked above
    if getattr(request, "parent", ""):
        yield parent_of(request.parent)  # type: ignore[attr-defined]  # checked above
    yield from map(parent_of_task, getattr(request, "names", ()))
    yield from (parent_of_task(update.name) for update in getattr(request, "updates", ()))
