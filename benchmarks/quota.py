"""The quota scenario: more reads than the 10 calls/s that HealthOmics allows of each operation.

1,000 callers each want one of 200 tasks of 4 runs every 5 s, for a minute: 200 answers a second.
The stub throttles as AWS does, and writes the moment of its answer into it (`start_time`), so that
every answer's true age is known whatever the server says. Taskgate and the facade run side by side,
each with a stub of its own: neither has much to do. Alone: `python -m benchmarks.quota`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks import machine
from benchmarks.stub import FIRST_TASK_ID, TASKS_OF_A_RUN
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

CALLERS = 1000
RUNS = 4
PERIOD_SECONDS = 5.0
MAX_AGE_SECONDS = 1.0
STALENESS_SECONDS = 1.0
"""Tolerance beyond `max_age` before a response counts as too old."""
OMICS_RATE = 10
CHANNELS = 4
OPERATIONS = ("GetRunTask", "ListRunTasks")

ReadTask: TypeAlias = Callable[[int, int], Awaitable[Timestamp]]
"""Returns the `start_time` of a task. Arguments: the ids of run and task."""


def unified(channel: grpc.aio.Channel) -> ReadTask:
    """Return a reader that sends GetTask with view BASIC."""
    stub = task_service_pb2_grpc.TaskServiceStub(channel)
    max_age = Duration()
    max_age.FromNanoseconds(int(MAX_AGE_SECONDS * 1e9))

    async def read(run_id: int, task_id: int) -> Timestamp:
        request = task_service_pb2.GetTaskRequest(
            name=f"omics/runs/{run_id}/tasks/{task_id}",
            max_age=max_age,
            view=task_pb2.TASK_VIEW_BASIC,
        )
        return (await stub.GetTask(request, timeout=PERIOD_SECONDS)).task.start_time

    return read


def native(channel: grpc.aio.Channel) -> ReadTask:
    """Return a reader that sends GetRunTask, the only RPC that the facade has."""
    stub = omics_pb2_grpc.OmicsServiceStub(channel)

    async def read(run_id: int, task_id: int) -> Timestamp:
        request = omics_pb2.GetRunTaskRequest(id=str(run_id), task_id=str(task_id))
        return (await stub.GetRunTask(request, timeout=PERIOD_SECONDS)).start_time

    return read


READERS: Final = {"taskgate": unified, "facade": native}


@dataclass(slots=True)
class Record:
    """Responses to the callers of one server, and calls of its upstream."""

    calls: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By gRPC status."""
    ages: list[float] = field(default_factory=list)
    """Seconds from AWS's response to its arrival at the caller."""
    waits: list[float] = field(default_factory=list)
    """Seconds from a request to its response."""
    aws_calls: int = 0
    throttled: int = 0
    throttled_later: int = 0
    """After the first second."""
    most_per_second: int = 0
    """Calls of one operation in one second, after the first, which has the burst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The result for one server."""

    calls: int
    answered: int
    refused: dict[str, int]
    fresh: float
    """The share of all calls that got a response no older than allowed."""
    age_p50: float
    age_p99: float
    age_max: float
    wait_p50: float
    wait_p99: float
    aws_calls: int
    throttled: int
    throttled_later: int
    most_per_second: int


def run(seconds: float) -> dict[str, Quota]:
    """Measure both servers at the same time."""
    with (
        tempfile.TemporaryDirectory() as home,
        machine.stub("--omics-rate", str(OMICS_RATE)) as one,
        machine.stub("--omics-rate", str(OMICS_RATE)) as other,
        machine.taskgate(one.address, Path(home, "log")) as taskgate,
        machine.peer("facade", other.address) as facade,
    ):
        servers = {"taskgate": (taskgate.address, one), "facade": (facade.address, other)}
        return asyncio.run(_all(seconds, servers))


async def _all(seconds: float, servers: dict[str, tuple[str, machine.Process]]) -> dict[str, Quota]:
    record = await asyncio.gather(
        *(_load(seconds, READERS[name], *server) for name, server in servers.items())
    )
    return dict(zip(servers, map(_summarize, record), strict=True))


async def _load(
    seconds: float,
    make_reader: Callable[[grpc.aio.Channel], ReadTask],
    address: str,
    stub: machine.Process,
) -> Record:
    record = Record()
    # Channels with the same arguments would share one connection.
    channels = [
        grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        for _ in range(CHANNELS)
    ]
    readers = [make_reader(channel) for channel in channels]
    await asyncio.to_thread(machine.query_stub, stub.address, "reset?latency_ms=30")
    watching = asyncio.ensure_future(_watch(stub.address, record))
    callers = (
        _caller(readers[number % CHANNELS], number, time.monotonic() + seconds, record)
        for number in range(CALLERS)
    )
    await asyncio.gather(*callers)
    watching.cancel()
    counts = await asyncio.to_thread(machine.query_stub, stub.address, "counts")
    record.aws_calls = sum(counts.get(name, 0) for name in OPERATIONS)
    record.throttled = sum(counts.get(f"{name} throttled", 0) for name in OPERATIONS)
    record.throttled_later = record.throttled - record.throttled_later
    for channel in channels:
        await channel.close()
    return record


async def _watch(url: str, record: Record) -> None:
    """Read the upstream's counts each second."""
    before: dict[str, int] | None = None
    while True:
        await asyncio.sleep(1)
        counts = await asyncio.to_thread(machine.query_stub, url, "counts")
        if before is None:
            record.throttled_later = sum(counts.get(f"{name} throttled", 0) for name in OPERATIONS)
        else:
            grown = max(counts.get(name, 0) - before.get(name, 0) for name in OPERATIONS)
            record.most_per_second = max(record.most_per_second, grown)
        before = counts


async def _caller(read: ReadTask, number: int, end: float, record: Record) -> None:
    """Read one task every period, beginning at a random moment."""
    chance = random.Random(number)  # noqa: S311  # the same load each time
    task = chance.randrange(RUNS * TASKS_OF_A_RUN)
    run_id, index = divmod(task, TASKS_OF_A_RUN)
    due = time.monotonic() + chance.random() * PERIOD_SECONDS
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due += PERIOD_SECONDS
        record.calls += 1
        sent = time.monotonic()
        try:
            start_time = await read(1_000_000 + run_id, FIRST_TASK_ID + index)
        except grpc.aio.AioRpcError as error:
            record.refused[error.code().name] += 1
            continue
        record.answered += 1
        record.waits.append(time.monotonic() - sent)
        record.ages.append(time.time() - start_time.seconds - start_time.nanos / 1e9)


def _summarize(record: Record) -> Quota:
    ages, waits = sorted(record.ages) or [float("nan")], sorted(record.waits) or [float("nan")]
    fresh = sum(age <= MAX_AGE_SECONDS + STALENESS_SECONDS for age in ages)
    return Quota(
        calls=record.calls,
        answered=record.answered,
        refused=dict(record.refused),
        fresh=fresh / max(1, record.calls),
        age_p50=ages[len(ages) // 2],
        age_p99=ages[len(ages) * 99 // 100],
        age_max=ages[-1],
        wait_p50=waits[len(waits) // 2],
        wait_p99=waits[len(waits) * 99 // 100],
        aws_calls=record.aws_calls,
        throttled=record.throttled,
        throttled_later=record.throttled_later,
        most_per_second=record.most_per_second,
    )


def main() -> None:
    """Run the command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    results = run(arguments.parse_args().seconds)
    shown = {name: asdict(result) for name, result in results.items()}
    print(json.dumps(shown, indent=2))  # noqa: T201  # its output


if __name__ == "__main__":
    main()
