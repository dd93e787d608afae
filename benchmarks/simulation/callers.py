"""Who calls: watchers that follow a parent, and readers that read a task again and again.

Each has chance of its own, so that what one does does not depend on the order of the others.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from google.protobuf.duration_pb2 import Duration

from benchmarks.simulation.replica import Replica
from benchmarks.simulation.world import Parent, Task, World
from taskgate.v1 import task_pb2, task_watch_pb2
from taskgate_server.errors import TaskgateError
from taskgate_server.tasks.watch.poller import Poller
from taskgate_server.upstream.gateway import Gateway
from taskgate_server.upstream.options import CallOptions
from taskgate_server.upstream.request import AwsRequest
from taskgate_server.upstream.retries import retry_info_seconds
from tests.support.calls import make_call

Response = task_watch_pb2.WatchTasksResponse
SNAPSHOT_END: Final = Response.SNAPSHOT_END_FIELD_NUMBER
TASK_CHANGE: Final = Response.TASK_CHANGE_FIELD_NUMBER

HEARTBEAT_SECONDS: Final = 60.0
MAX_RETRY_SECONDS: Final = 10.0
"""How long a refused watcher waits at most, at random, in addition to its retry delay."""
RECONNECT_SECONDS: Final = 1.0
"""The same for one whose replica is gone, as of the clients' first try."""

MAX_AGE_SECONDS: Final = 1.0
READ_LIMIT_SECONDS: Final = 5.0


class Route(Protocol):
    """How a call finds its replica."""

    def __call__(self, parent: str) -> Replica:
        """Return the replica for a call about that parent."""


@dataclass(slots=True)
class Seen:
    """What all callers saw, and when."""

    delays: list[tuple[float, float]] = field(default_factory=list)
    """For each change that a watcher received: when, and the seconds since it was made."""
    refused_watches: list[float] = field(default_factory=list)
    """When a watch failed."""
    first_answers: list[float] = field(default_factory=list)
    """Seconds from a watcher's arrival to its first whole snapshot."""
    outages: list[float] = field(default_factory=list)
    """Seconds from a replica's death until a watcher of its own has a snapshot again."""
    reads: list[tuple[float, float, float]] = field(default_factory=list)
    """For each successful read: its start, the seconds that it took, the age of the response."""
    refused_reads: list[float] = field(default_factory=list)
    """The start of each read that was refused."""


class Watcher:
    """Follows one parent, on another replica when one fails.

    Args:
        parent: what it watches.
        world: to compare with.
        route: finds its replica.
        seen: gets what it sees.
        random: when it comes, and how long it waits.
    """

    def __init__(
        self, parent: Parent, world: World, route: Route, seen: Seen, random: Random
    ) -> None:
        self.parent = parent
        self.replica: Replica | None = None
        """Where it has a whole snapshot from; None while it has none."""
        self.poller: Poller | None = None
        """The poller there of what it watches."""
        self.lost_at: float | None = None
        """When its replica died, while it has no snapshot of another one."""
        self.states: dict[str, str] = {}
        """The state of each task in the latest message."""
        self._world = world
        self._route = route
        self._seen = seen
        self._random = random

    async def run(self, arrives: float) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(arrives)
        first = loop.time()
        while True:
            pause = await self._connect(self._route(self.parent.name), first)
            await asyncio.sleep(pause)

    def age(self, now: float) -> float:
        """Return the seconds since AWS returned its state; inf while it has none."""
        if self.replica is None or self.poller is None:
            return math.inf
        return now - self.poller.swept_at

    async def _connect(self, replica: Replica, first: float) -> float:
        """Read one stream to its end; return the seconds until the next attempt."""
        stream = asyncio.ensure_future(self._follow(replica, first))
        replica.streams.add(stream)
        try:
            await stream
        except TaskgateError as error:
            self._seen.refused_watches.append(asyncio.get_running_loop().time())
            return retry_info_seconds(error) + self._random.uniform(0, MAX_RETRY_SECONDS)
        except asyncio.CancelledError:
            if not replica.is_dead:
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)
                raise
            self.lost_at = asyncio.get_running_loop().time()
        finally:
            replica.streams.discard(stream)
            self.replica = None
        return self._random.uniform(0, RECONNECT_SECONDS)

    async def _follow(self, replica: Replica, first: float) -> None:
        request = task_watch_pb2.WatchTasksRequest(
            parent=self.parent.name, heartbeat_interval=Duration(seconds=int(HEARTBEAT_SECONDS))
        )
        call = make_call()
        now: Callable[[], float] = asyncio.get_running_loop().time
        is_new = not self.states
        async for message in replica.watches.watch_tasks(request, call):
            kind = message[0] >> 3
            if kind == TASK_CHANGE:
                self._take_change(message, now())
            elif kind == SNAPSHOT_END:
                self.replica, self.poller = replica, replica.poller(self.parent.name)
                if is_new:
                    self._seen.first_answers.append(now() - first)
                if self.lost_at is not None:
                    self._seen.outages.append(now() - self.lost_at)
                    self.lost_at = None
            elif kind == Response.SNAPSHOT_TASKS_FIELD_NUMBER:
                tasks = Response.FromString(message).snapshot_tasks.tasks
                self.states.update((task.name, task.native_state) for task in tasks)

    def _take_change(self, message: bytes, now: float) -> None:
        task = Response.FromString(message).task_change.task
        self.states[task.name] = task.native_state
        made = self._world.changed_at(task.name, task.native_state)
        self._seen.delays.append((now, now - made))


class Reader:
    """Reads a task of its choice every few seconds.

    Args:
        parent: that has the task.
        task: the task to read.
        route: finds its replica, anew for each call.
        seen: gets what it sees.
        random: for the moments of the reads.
    """

    def __init__(
        self, parent: Parent, task: Task, route: Route, seen: Seen, random: Random
    ) -> None:
        self._parent = parent
        self._task = task
        self._route = route
        self._seen = seen
        self._random = random

    async def run(self, period: float) -> None:
        """Read until cancelled, at random moments, `period` seconds apart in the mean.

        They do not depend on when responses arrive: callers that share one would read at the same
        moment next time, and in which order would be chance without a seed.
        """
        async with asyncio.TaskGroup() as asking:
            while True:
                await asyncio.sleep(self._random.expovariate(1 / period))
                asking.create_task(self._ask(asyncio.get_running_loop().time))

    async def _ask(self, now: Callable[[], float]) -> None:
        replica, sent_at = self._route(self._parent.name), now()
        replica.reads += 1
        name = self._parent.task_name(self._task)
        options = CallOptions(timeout=READ_LIMIT_SECONDS, max_age=MAX_AGE_SECONDS)
        (task,) = await replica.backend.get_many([name], task_pb2.TASK_VIEW_BASIC, options)
        if isinstance(task, TaskgateError):
            self._seen.refused_reads.append(sent_at)
            return
        age = now() - task.observe_time.ToNanoseconds() / 1e9
        self._seen.reads.append((sent_at, now() - sent_at, age))


async def press(gateway: Gateway, question: AwsRequest) -> None:
    """Reads all the time with a max_age of zero and without a deadline."""
    while True:
        try:
            await gateway.fetch(question, CallOptions(timeout=math.inf, max_age=0))
        except TaskgateError as error:
            await asyncio.sleep(max(retry_info_seconds(error), 0.05))
