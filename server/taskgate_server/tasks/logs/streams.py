"""StreamTaskLogs: the lines that a task has written and, with `follow`, later lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from taskgate.v1 import task_log_pb2
from taskgate_server import errors
from taskgate_server.calls import CallContext
from taskgate_server.tasks.backend import Backends
from taskgate_server.tasks.durations import heartbeat_seconds
from taskgate_server.tasks.logs.finder import LogFinder
from taskgate_server.tasks.logs.following import LogStream
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.retries import Sleep

Part: TypeAlias = task_log_pb2.StreamTaskLogsResponse
Parts: TypeAlias = AsyncGenerator[Part, None]

HEARTBEAT: Final = Part(heartbeat=task_log_pb2.LogHeartbeat())

MAX_TAIL: Final = 10_000
"""Lines, which are held in memory because they are read backwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Serves the RPC."""

    backends: Backends
    finders: Mapping[str, LogFinder]
    """By AWS service."""
    gateways: Mapping[str, Gateway]
    """To CloudWatch Logs, by the AWS service of the tasks."""
    sleep: Sleep = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    followed: set[asyncio.Future[None]] = field(default_factory=set)
    """One future for each open stream that follows a log; its result ends the stream."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream_task_logs(
        self, request: task_log_pb2.StreamTaskLogsRequest, call: CallContext
    ) -> AsyncGenerator[task_log_pb2.StreamTaskLogsResponse, None]:
        """Yield the responses of StreamTaskLogs."""
        backend = self.backends.of(request.name, "name")
        params = backend.names.parse(request.name, "name")
        service = backend.gateway.spec.name
        heartbeat = heartbeat_seconds(request)
        _check(request)
        stream = LogStream(
            finder=self.finders[service],
            gateway=self.gateways[service],
            params=params,
            request=request,
            call=call,
            sleep=self.sleep,
            clock=self.clock,
            wall_clock=self.wall_clock,
        )
        async with aclosing(stream.parts()) as parts:
            responses = self._follow(parts, heartbeat) if request.follow else parts
            async with aclosing(responses):
                async for response in responses:
                    yield response

    def stop(self) -> None:
        """End the streams that follow a log; their callers continue at another server."""
        self._stopping.set()
        for stop in self.followed:
            if not stop.done():
                stop.set_result(None)

    async def close(self) -> None:
        """Do nothing: there is no work between calls."""

    async def _follow(self, parts: Parts, heartbeat: float) -> Parts:
        """Yield the parts with a heartbeat after so many seconds without one, until the stop.

        Raises:
            errors.TaskgateError: UNAVAILABLE, the server is shutting down. A caller that continues
                after the last line that it received misses none.
        """
        stop = asyncio.get_running_loop().create_future()
        self.followed.add(stop)
        read: asyncio.Future[Part | None] | None = None
        try:
            while not self._stopping.is_set():
                read = read or asyncio.ensure_future(anext(parts, None))
                done, _ = await asyncio.wait(
                    {read, stop}, timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    yield HEARTBEAT
                elif read in done:
                    part, read = read.result(), None
                    if part is None:
                        return
                    yield part
            raise errors.ServerStoppingError()
        finally:
            self.followed.discard(stop)
            if read is not None:
                read.cancel()
                await asyncio.wait({read})


def _check(request: task_log_pb2.StreamTaskLogsRequest) -> None:
    """Check a request.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT.
    """
    faults = {
        field: "must not be negative" for field in ("limit", "tail") if getattr(request, field) < 0
    }
    if request.tail > MAX_TAIL:
        faults["tail"] = f"must be at most {MAX_TAIL}: use since for more"
    if request.HasField("attempt") and request.attempt < 1:
        faults["attempt"] = "must be 1 or more"
    if faults:
        raise errors.invalid_request(faults)
