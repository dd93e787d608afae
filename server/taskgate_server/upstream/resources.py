"""The AWS resource that an operation is about, and when each resource was last written.

A resource is its path: for `GetTask` the segments of its HTTP route up to the last id, filled in.
A write changes the resource at its path, those below it and those that contain it; not siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from taskgate_server.error_texts import sanitize

if TYPE_CHECKING:  # importing it takes 0.2 s, and the server listens before that
    from taskgate_server.aws.model import Segment

Resource: TypeAlias = tuple[str, ...]
"""Such as `("farms", "farm-1", "queues", "queue-1")`; empty for a whole AWS service."""

MAX_BYTES: Final = 8 * 1024 * 1024
PATH_BYTES: Final = 400
"""The overhead of a path: its tuple, and its entries in two dictionaries."""
SEGMENT_BYTES: Final = 60
"""The overhead of each of its segments."""


def compile_resource(route: Sequence[Segment]) -> Callable[[Mapping[str, Any]], Resource]:
    """Return a function from boto3 parameters to the resource of an operation with this route.

    The route's last literal segments name a collection or a verb (`/run/{id}/cancel`), not a
    resource. An operation without an id in its route is about the whole service.
    """
    segments = list(route)
    while segments and not segments[-1].member:
        segments.pop()

    def resource(params: Mapping[str, Any]) -> Resource:
        return tuple(str(params.get(member, "")) if member else text for text, member in segments)

    return resource


def resource_name(service: str, operation: str, params: Mapping[str, Any]) -> str:
    """Return the resource of a request for its errors, such as `run/7/task/8`.

    Args:
        service: botocore's name of the AWS service.
        operation: such as `GetRunTask`.
        params: of boto3.

    Returns:
        The segments of the HTTP route, without AWS accounts; empty if the route has no id.
    """
    from taskgate_server.aws import model  # noqa: PLC0415  # see above

    resource = compile_resource(model.route(model.load_service(service).operation_model(operation)))
    return "/".join(sanitize(each) if ":" in each else each for each in resource(params))


class WriteLog:
    """When each resource was last written through this server: older reads are outdated.

    Callers choose the resources, so the log is bounded. When it is full, it counts as if everything
    had been written, and starts again.

    Args:
        horizon: seconds after which a write is forgotten, since no cached response is older.
        max_bytes: of memory, estimated.
    """

    def __init__(self, horizon: float, max_bytes: int = MAX_BYTES) -> None:
        self._horizon = horizon
        self._max_bytes = max_bytes
        self._bytes = 0
        self._overflowed_at = float("-inf")
        """When the log was last full."""
        self._at: dict[Resource, float] = {}
        """Path -> the last write at it."""
        self._below: dict[Resource, float] = {}
        """Path -> the last write at it or below it."""
        self._swept_at = 0.0

    def record(self, resource: Resource, now: float) -> None:
        """Record that a write of a resource has ended, or may have been executed."""
        self._sweep(now)
        if resource not in self._at:
            self._bytes += _path_bytes(resource)
            if self._bytes > self._max_bytes:
                self._at.clear()
                self._below.clear()
                self._bytes, self._overflowed_at = 0, now
                return
        self._at[resource] = now
        for depth in range(len(resource) + 1):
            self._below[resource[:depth]] = now

    def latest(self, resource: Resource) -> float:
        """Return when a write last changed a resource; -inf if none is known.

        The response to a read sent before then may not show the write.
        """
        never = self._overflowed_at
        if not self._at:
            return never
        above = (self._at.get(resource[:depth], never) for depth in range(len(resource)))
        return max(self._below.get(resource, never), max(above, default=never))

    def _sweep(self, now: float) -> None:
        if now - self._swept_at < self._horizon:
            return
        self._swept_at = now
        for log in (self._at, self._below):
            old = [path for path, when in log.items() if now - when > self._horizon]
            for path in old:
                del log[path]
        self._bytes = sum(_path_bytes(path) for path in self._at)


def _path_bytes(resource: Resource) -> int:
    """Return the memory of a path and of its prefixes, which share its segments."""
    depths = len(resource) + 1
    return depths * PATH_BYTES + sum(SEGMENT_BYTES + len(segment) for segment in resource)
