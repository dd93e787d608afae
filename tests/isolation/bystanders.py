"""Calls that a failure does not concern: their latencies and errors while it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_client import CallError
from taskgate_emulator.seeds import ids as seed
from tests.support.demo_names import RUNNING
from tests.support.guarded_process import Metadata
from tests.support.web_channel import open_channel

SECONDS: Final = 20.0
FRESH: Final = (("taskgate-max-age", "0"),)
"""The call reaches AWS."""
PAUSE_SECONDS: Final = 0.02

Call = Callable[[], Awaitable[object]]


def bystanders(channel: grpc.aio.Channel, metadata: Metadata) -> Mapping[str, Call]:
    """Return calls of a caller that no failure of `failures.py` is about, by name."""
    tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    deadline: Any = deadline_pb2_grpc.DeadlineServiceStub(channel)
    omics: Any = omics_pb2_grpc.OmicsServiceStub(channel)
    fresh: dict[str, Any] = {"metadata": (*metadata, *FRESH), "timeout": SECONDS}
    cached: dict[str, Any] = {"metadata": metadata, "timeout": SECONDS}
    task = task_service_pb2.GetTaskRequest(name=RUNNING)
    now = task_service_pb2.GetTaskRequest(name=RUNNING)
    now.max_age.FromSeconds(0)
    farm = deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID)
    queues = deadline_pb2.ListQueuesRequest(farm_id=seed.FARM_ID)
    run = omics_pb2.GetRunRequest(id=seed.RUN_ID)
    return {
        "task": lambda: tasks.GetTask(now, **cached),
        "cached task": lambda: tasks.GetTask(task, **cached),
        "another operation": lambda: deadline.GetFarm(farm, **fresh),
        "a list": lambda: deadline.ListQueues(queues, **fresh),
        "another service": lambda: omics.GetRun(run, **fresh),
    }


@dataclass
class Experience:
    """Latencies and errors of the bystanders' calls."""

    took: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of each call, by name."""
    failures: list[str] = field(default_factory=list)

    def p99(self, name: str) -> float:
        """Return the seconds that 99 of 100 calls stay within."""
        took = sorted(self.took[name])
        return took[int(len(took) * 0.99)]

    def slower_than(self, quiet: Experience) -> list[str]:
        """Return what is slower than twice the quiet value and 20 ms."""
        return [
            f"{name}: p99 {1000 * self.p99(name):.1f} ms, {1000 * quiet.p99(name):.1f} ms if quiet"
            for name in self.took
            if self.p99(name) > 2 * quiet.p99(name) + 0.020
        ]


async def experience(address: str, transport: str, metadata: Metadata, rounds: int) -> Experience:
    """Make each bystander's call so many times, all of them beside each other."""
    seen = Experience()
    async with open_channel(address, transport) as channel:

        async def repeat(name: str, call: Call) -> None:
            took = seen.took.setdefault(name, [])
            for _ in range(rounds):
                began = time.perf_counter()
                try:
                    await call()
                except grpc.RpcError as error:
                    call_error = CallError.of(error)
                    seen.failures.append(f"{name}: {call_error.code.name} {call_error.reason}")
                took.append(time.perf_counter() - began)
                await asyncio.sleep(PAUSE_SECONDS)

        calls = bystanders(channel, metadata)
        await asyncio.gather(*(repeat(name, call) for name, call in calls.items()))
    return seen
