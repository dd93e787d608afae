"""TaskService.StreamTaskLogs: what a task has written, and what it goes on to write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from taskgate.v1 import task_log_pb2
from taskgate_server import errors
from taskgate_server.calls import Call
from taskgate_server.tasks.backend import Backends
from taskgate_server.tasks.logs.following import Following, Patience, Wanted
from taskgate_server.tasks.logs.places import LogFinder
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.retries import Sleep

Parts: TypeAlias = AsyncGenerator[task_log_pb2.StreamTaskLogsResponse, None]

LONGEST_TAIL: Final = 10_000
"""Lines; they are read backwards, and so are held in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What serves it; the method here is named after the RPC."""

    backends: Backends
    finders: Mapping[str, LogFinder]
    """By AWS service."""
    gateways: Mapping[str, Gateway]
    """To CloudWatch Logs, by the AWS service whose tasks wrote them."""
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    followed: set[Followed] = field(default_factory=set)
    """The streams under way that follow a log."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream_task_logs(
        self, request: task_log_pb2.StreamTaskLogsRequest, call: Call
    ) -> AsyncGenerator[task_log_pb2.StreamTaskLogsResponse, None]:
        """TaskService.StreamTaskLogs."""
        backend = self.backends.of(request.name, "name")
        params = backend.names.parse(request.name, "name")
        service = backend.gateway.spec.name
        following = Following(
            finder=self.finders[service],
            gateway=self.gateways[service],
            params=params,
            wanted=_wanted(request),
            patience=Patience(self.sleep, self.clock, is_endless=request.follow),
            time_remaining=call.time_remaining,
            requester=call.requester,
            wall_clock=self.wall_clock,
        )
        async with aclosing(following.parts()) as parts:
            async for part in self._until_stop(parts) if request.follow else parts:
                yield part

    def stop(self) -> None:
        """Ends the streams that follow a log. What they have not told is told elsewhere."""
        self._stopping.set()
        for followed in self.followed:
            followed.end()

    async def close(self) -> None:
        """Nothing goes on between calls."""

    async def _until_stop(self, parts: Parts) -> Parts:
        """The parts, until the server stops.

        Raises:
            errors.TaskgateError: UNAVAILABLE, it stops. All that was read has been told or is
                after the last line that was.
        """
        followed = Followed()
        self.followed.add(followed)
        try:
            while not self._stopping.is_set():
                part = await followed.next(parts)
                if part is None:
                    return
                yield part
            raise errors.stopping()
        finally:
            self.followed.discard(followed)


class Followed:
    """One stream that follows a log; waiting for its next part can be ended from outside."""

    def __init__(self) -> None:
        self._scope: asyncio.Timeout | None = None

    async def next(self, parts: Parts) -> task_log_pb2.StreamTaskLogsResponse | None:
        """The next part; None after the last one.

        Raises:
            errors.TaskgateError: UNAVAILABLE, it was ended.
        """
        scope = self._scope = asyncio.timeout(None)
        try:
            async with scope:
                return await anext(parts, None)
        except TimeoutError:
            raise errors.stopping() from None
        finally:
            self._scope = None

    def end(self) -> None:
        """Ends the waiting, if there is any."""
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())


def _wanted(request: task_log_pb2.StreamTaskLogsRequest) -> Wanted:
    """What the request asks for.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT.
    """
    faults = {
        field: "must not be negative" for field in ("limit", "tail") if getattr(request, field) < 0
    }
    if request.tail > LONGEST_TAIL:
        faults["tail"] = f"must be at most {LONGEST_TAIL}: use since for more"
    if request.HasField("attempt") and request.attempt < 1:
        faults["attempt"] = "must be 1 or more"
    if faults:
        raise errors.invalid_request(faults)
    # Rounded up: a line of the same millisecond may be from before.
    since = request.since.seconds * 1000 - -request.since.nanos // 1_000_000
    return Wanted(
        follow=request.follow,
        since=max(since, 0),
        limit=request.limit or None,
        tail=request.tail,
        attempt=request.attempt if request.HasField("attempt") else None,
    )
