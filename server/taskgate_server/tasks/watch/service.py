"""The methods of TaskService that follow tasks: WatchTasks and WaitTask."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.tasks.durations import heartbeat_seconds, seconds_of
from taskgate_server.tasks.watch import resume
from taskgate_server.tasks.watch.hub import Hub
from taskgate_server.tasks.watch.named_poller import NamedPoller
from taskgate_server.tasks.watch.views import Some, View, Whole
from taskgate_server.tasks.watch.wait import Waiter, end_of
from taskgate_server.tasks.watch.watcher import Reason, Watch, Wish

MAX_NAMES: Final = 1_000
MIN_WAIT_SECONDS: Final = 1.0
"""The shortest `max_wait`, so that callers in a loop do not call all the time."""

STATES: Final = frozenset(task_pb2.TaskState.values()) - {
    task_pb2.TASK_STATE_UNSPECIFIED,
    task_pb2.TASK_STATE_UNRECOGNIZED,
}
"""What can be waited for."""
MAX_STATES: Final = 100
"""In a request, which may name a state more than once."""


@dataclass(frozen=True, slots=True)
class Watches:
    """What serves them; a method here is named after the RPC."""

    hub: Hub
    default_time_limit: float
    """Seconds that WaitTask waits for a caller that set no limit."""
    clock: Callable[[], float] = time.monotonic

    async def watch_tasks(
        self,
        request: task_watch_pb2.WatchTasksRequest,
        call: CallContext,  # noqa: ARG002  # a stream has no time limit but the caller's own
    ) -> AsyncIterator[bytes]:
        """TaskService.WatchTasks, in serialized responses."""
        heartbeat = heartbeat_seconds(request)
        full_view = _full_view(request)
        views = self._views(request, full_view=full_view)
        digest = resume.digest(request.parent, request.names, full_view, self.hub.backends.scope)
        token = resume.parse(request.resume_token, digest) if request.resume_token else None
        is_foreign = bool(request.resume_token) and token is None
        wish = Wish(
            digest=digest,
            token=token,
            reason=(
                Reason.SNAPSHOT_REASON_TOKEN_FROM_ELSEWHERE
                if is_foreign
                else Reason.SNAPSHOT_REASON_NEW_WATCH
            ),
            until_settled=request.until_settled,
            heartbeat_seconds=heartbeat,
        )
        async for response in Watch(self.hub, views, wish).responses():
            yield response

    async def wait_task(
        self, request: task_watch_pb2.WaitTaskRequest, call: CallContext
    ) -> task_watch_pb2.WaitTaskResponse:
        """TaskService.WaitTask."""
        if len(request.states) > MAX_STATES:
            raise errors.invalid_request({"states": f"must be at most {MAX_STATES}"})
        if not STATES.issuperset(request.states):
            raise errors.invalid_request({"states": "must be states that a task can be in"})
        backend = self.hub.backends.of(request.name, "name")
        backend.names.parse(request.name, "name")
        max_wait = _max_wait_seconds(request)
        left = call.time_remaining()
        seconds = end_of(self.default_time_limit if left is None else left)
        view = Some(self.hub.named(backend, request.name, full_view=False), [request.name])
        waiter = Waiter(self.hub, view, request.name, request.states)
        return await waiter.aws_response(seconds, max_wait)

    def _views(self, request: task_watch_pb2.WatchTasksRequest, *, full_view: bool) -> list[View]:
        """What the request watches.

        Raises:
            errors.TaskgateError: INVALID_ARGUMENT.
        """
        if bool(request.parent) == bool(request.names):
            raise errors.invalid_request({"parent": "exactly one of parent and names is required"})
        if request.parent:
            return [self._parent(request.parent, full_view=full_view)]
        if len(request.names) > MAX_NAMES:
            raise errors.invalid_request({"names": f"must be {MAX_NAMES} at most"})
        pollers: dict[NamedPoller, list[str]] = {}
        names = dict.fromkeys(request.names)
        for index, name in enumerate(names):
            field = f"names[{index}]"
            self.hub.backends.of(name, field).names.parse(name, field)
        for name in names:
            backend = self.hub.backends.of(name, "names")
            poller = self.hub.named(backend, name, full_view=full_view)
            pollers.setdefault(poller, []).append(name)
        return [Some(poller, of_it) for poller, of_it in pollers.items()]

    def _parent(self, name: str, *, full_view: bool) -> View:
        backends = self.hub.backends
        kinds = {
            kind
            for backend in backends.by_service.values()
            for kind in self.hub.watching(backend).parent_kinds
        }
        backend, parent = backends.parent(name, "parent", kinds)
        return Whole(self.hub.whole(backend, parent, full_view=full_view))


def _full_view(request: task_watch_pb2.WatchTasksRequest) -> bool:
    if request.view not in task_pb2.TaskView.values():
        raise errors.invalid_request({"view": "must be BASIC or FULL"})
    return request.view == task_pb2.TASK_VIEW_FULL


def _max_wait_seconds(request: task_watch_pb2.WaitTaskRequest) -> float:
    seconds = seconds_of(request, "max_wait")
    if seconds is None:
        return math.inf
    if seconds < MIN_WAIT_SECONDS:
        raise errors.invalid_request({"max_wait": "must be 1 s or more"})
    return seconds
