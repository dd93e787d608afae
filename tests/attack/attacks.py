"""The most expensive requests that a caller can send, as bytes, so that they cost nothing to make.

`run` sends one of them again and again, from a process of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_service_pb2, task_update_pb2, task_watch_pb2
from tests.support.demo_names import JOB
from tests.support.web_channel import open_channel

TASKS = "/taskgate.v1.TaskService"
MESSAGE_LIMIT = 4 * 1024 * 1024
CONCURRENCY = 4
STALLED = 200
"""Calls that are open at a time, of an attack that stalls."""


@dataclass(frozen=True)
class Attack:
    """A request, whatever it is for."""

    method: str
    make: Callable[[], bytes]
    metadata: tuple[tuple[str, str], ...] = ()
    stalls: bool = False
    """Whether the call stays open after its message, or without one if that is empty."""


def _repeated(field: int, item: bytes, max_bytes: int = MESSAGE_LIMIT) -> bytes:
    """Return a field repeated until the message is as long as it may be."""
    entry = bytes([field << 3 | 2, len(item)]) + item
    return entry * (max_bytes // len(entry) - 10)


ATTACKS = {
    "deep name": Attack(
        f"{TASKS}/GetTask",
        lambda: task_service_pb2.GetTaskRequest(
            name="deadline" + "/as/i" * 4000
        ).SerializeToString(),
    ),
    "long name": Attack(
        f"{TASKS}/GetTask",
        lambda: task_service_pb2.GetTaskRequest(name="x" * 4_000_000).SerializeToString(),
    ),
    "empty updates": Attack(
        f"{TASKS}/BatchUpdateTasks",
        lambda: _repeated(
            task_update_pb2.BatchUpdateTasksRequest.UPDATES_FIELD_NUMBER, b"\x0a\x01a"
        ),
    ),
    "names to read": Attack(
        f"{TASKS}/BatchGetTasks",
        lambda: _repeated(task_service_pb2.BatchGetTasksRequest.NAMES_FIELD_NUMBER, b"a/b/c"),
    ),
    "names to watch": Attack(
        f"{TASKS}/WatchTasks",
        lambda: _repeated(task_watch_pb2.WatchTasksRequest.NAMES_FIELD_NUMBER, b"a/b/c"),
    ),
    "empty filters": Attack(
        "/taskgate.deadline.v1.DeadlineService/SearchJobs",
        lambda: deadline_pb2.SearchJobsRequest(
            farm_id="farm-" + "0" * 32,
            filter_expressions=deadline_pb2.SearchGroupedFilterExpressions(
                filters=[deadline_pb2.SearchFilterExpression()] * 1_000_000
            ),
        ).SerializeToString(),
    ),
    "long target": Attack(
        f"{TASKS}/GetTask",
        lambda: task_service_pb2.GetTaskRequest(name="omics/runs/1/tasks/2").SerializeToString(),
        (("taskgate-target", "t" * 28_000),),
    ),
    "long token": Attack(
        f"{TASKS}/GetTask",
        lambda: b"",
        (("authorization", "Bearer " + "e" * 28_000),),
    ),
    "health name": Attack(
        "/grpc.health.v1.Health/Check",
        lambda: health_pb2.HealthCheckRequest(service="x" * 4_000_000).SerializeToString(),
    ),
    "reflection": Attack(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        lambda: reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="x" * 4_000_000
        ).SerializeToString(),
    ),
    "unknown method": Attack("/" + "x" * 8000, lambda: b"x" * 4_000_000),
}


CONTROL = "some empty updates"
"""Enough to be noticed where a defence is off."""

IDENTIFIED = {
    **ATTACKS,
    "silent calls": Attack(f"{TASKS}/GetTask", lambda: b"", stalls=True),
    "health watches": Attack(
        "/grpc.health.v1.Health/Watch",
        lambda: health_pb2.HealthCheckRequest(service="live").SerializeToString(),
        stalls=True,
    ),
    "reflection streams": Attack(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        lambda: reflection_pb2.ServerReflectionRequest(
            file_by_filename="taskgate/v1/task.proto"
        ).SerializeToString(),
        stalls=True,
    ),
    "task watches": Attack(
        f"{TASKS}/WatchTasks",
        lambda: task_watch_pb2.WatchTasksRequest(parent=JOB).SerializeToString(),
        stalls=True,
    ),
    "idle uploads": Attack(
        "/taskgate.omics.v1.OmicsService/UploadReadSetPart",
        lambda: omics_pb2.UploadReadSetPartRequest(
            sequence_store_id="1234567890",
            upload_id="1234567890",
            part_source=omics_pb2.READ_SET_PART_SOURCE_SOURCE1,
            part_number=1,
            payload=b"x" * 1024 * 1024,
        ).SerializeToString(),
        stalls=True,
    ),
}
"""Those of callers with an identity."""

EVERY_ATTACK = {
    **IDENTIFIED,
    CONTROL: Attack(
        f"{TASKS}/BatchUpdateTasks",
        lambda: _repeated(
            task_update_pb2.BatchUpdateTasksRequest.UPDATES_FIELD_NUMBER, b"\x0a\x01a", 100_000
        ),
    ),
}


async def attack(
    messages_to: Connection,
    address: str,
    transport: str,
    seconds: float,
    name: str,
    token: str = "",
) -> None:
    """Send an attack again and again for some time, over gRPC from one connection."""
    chosen, until = EVERY_ATTACK[name], time.monotonic() + seconds
    data = chosen.make()
    identity = (("authorization", f"Bearer {token}"),) if token else ()
    metadata = (*chosen.metadata, *identity)

    async def messages() -> AsyncIterator[bytes]:
        if data or not chosen.stalls:
            yield data
        if chosen.stalls:
            await asyncio.sleep(seconds)

    async with open_channel(address, transport) as channel:
        send: Any = channel.stream_stream(chosen.method)

        async def repeat() -> None:
            while time.monotonic() < until:
                with suppress(grpc.RpcError):  # most attacks are refused
                    async for _ in send(messages(), metadata=metadata, timeout=10):
                        pass

        calls = [repeat() for _ in range(STALLED if chosen.stalls else CONCURRENCY)]
        running = asyncio.gather(*calls)
        await asyncio.sleep(0.3)
        messages_to.send("begun")
        await running


def run(messages_to: Connection, *arguments: Any) -> None:
    """Attack for some time, as the main function of a process.

    Args:
        messages_to: Receives "begun" once the attack has begun.
        arguments: The arguments of `attack`.
    """
    asyncio.run(attack(messages_to, *arguments))
