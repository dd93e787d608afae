"""The methods of TaskService that follow tasks: WatchTasks and WaitTask."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.tasks.backend import TaskBackend
from taskgate_server.tasks.durations import heartbeat_seconds, seconds_of
from taskgate_server.tasks.listing.request import view_of
from taskgate_server.tasks.watch import resume
from taskgate_server.tasks.watch.hub import Hub, View
from taskgate_server.tasks.watch.named_poller import NamedPoller, NamedTasks
from taskgate_server.tasks.watch.wait import Waiter, seconds_to_respond
from taskgate_server.tasks.watch.watcher import Watch

MAX_NAMES: Final = 1_000
MIN_WAIT_SECONDS: Final = 1.0
"""The shortest `max_wait`, so that callers in a loop do not call too often."""

STATES: Final = frozenset(task_pb2.TaskState.values()) - {
    task_pb2.TASK_STATE_UNSPECIFIED,
    task_pb2.TASK_STATE_UNRECOGNIZED,
}
"""States that a caller can wait for."""
MAX_STATES: Final = 100
"""In a request; duplicates count."""


@dataclass(frozen=True, slots=True)
class Watches:
    """Serves these methods; each method here has the name of its RPC."""

    hub: Hub
    default_time_limit: float
    """Seconds that WaitTask waits for a call without a deadline."""

    async def watch_tasks(
        self,
        request: task_watch_pb2.WatchTasksRequest,
        call: CallContext,
    ) -> AsyncIterator[bytes]:
        """Yield the serialized responses of WatchTasks."""
        written_at = self.hub.clock() - call.since_write
        heartbeat = heartbeat_seconds(request)
        full_view = view_of(request, task_pb2.TASK_VIEW_BASIC) == task_pb2.TASK_VIEW_FULL
        views = self._views(request, full_view=full_view)
        digest = resume.digest_of(request.parent, request.names, full_view, self.hub.backends.scope)
        token = resume.parse(request.resume_token, digest) if request.resume_token else None
        watch = Watch(
            self.hub,
            views,
            digest,
            token,
            until_settled=request.until_settled,
            heartbeat_seconds=heartbeat,
            written_at=written_at,
        )
        async for response in watch.responses():
            yield response

    async def wait_task(
        self, request: task_watch_pb2.WaitTaskRequest, call: CallContext
    ) -> task_watch_pb2.WaitTaskResponse:
        """Return the response of WaitTask."""
        written_at = self.hub.clock() - call.since_write
        if len(request.states) > MAX_STATES:
            raise errors.invalid_request({"states": f"must be at most {MAX_STATES}"})
        if not STATES.issuperset(request.states):
            raise errors.invalid_request({"states": "must be states that a task can have"})
        backend = self.hub.backends.of(request.name, "name")
        backend.names.parse(request.name, "name")
        max_wait = _max_wait_seconds(request)
        remaining = call.time_remaining()
        seconds = seconds_to_respond(self.default_time_limit if remaining is None else remaining)
        poller = self.hub.poll_task(backend, request.name, full_view=False)
        view = NamedTasks(poller, [request.name])
        waiter = Waiter(self.hub, view, request.name, request.states, written_at)
        return await waiter.wait(seconds, max_wait)

    def _views(self, request: task_watch_pb2.WatchTasksRequest, *, full_view: bool) -> list[View]:
        """Return the views of what the request watches.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT.
        """
        if bool(request.parent) == bool(request.names):
            raise errors.invalid_request({"parent": "exactly one of parent and names is required"})
        if request.parent:
            backend, parent = self.hub.backends.parent(
                request.parent, "parent", self.hub.parent_kinds
            )
            return [self.hub.poll_parent(backend, parent, full_view=full_view)]
        if len(request.names) > MAX_NAMES:
            raise errors.invalid_request({"names": f"must be {MAX_NAMES} at most"})
        backends: dict[str, TaskBackend] = {}
        for index, name in enumerate(dict.fromkeys(request.names)):
            backends[name] = self.hub.backends.of(name, f"names[{index}]")
            backends[name].names.parse(name, f"names[{index}]")
        pollers: dict[NamedPoller, list[str]] = {}
        for name, backend in backends.items():
            poller = self.hub.poll_task(backend, name, full_view=full_view)
            pollers.setdefault(poller, []).append(name)
        return [NamedTasks(poller, some) for poller, some in pollers.items()]


def _max_wait_seconds(request: task_watch_pb2.WaitTaskRequest) -> float:
    seconds = seconds_of(request, "max_wait")
    if seconds is None:
        return math.inf
    if seconds < MIN_WAIT_SECONDS:
        raise errors.invalid_request({"max_wait": "must be 1 s or more"})
    return seconds
