"""Failures of one operation, task, caller or target, and the calls that run into them.

`run` makes the calls from a process of its own, so that they take no time from the process that
measures.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.demo_names import ABSENT, FAILED, JOB, RUNNING
from tests.support.seeds import seeded
from tests.support.web_channel import WebChannel, open_channel

Metadata = tuple[tuple[str, str], ...]
CALLERS: Final = 8
PAUSE_SECONDS: Final = 0.05
SECONDS: Final = 3.0

# --- What the failing calls are -------------------------------------------------------------------

Repeat = Callable[[grpc.aio.Channel, Metadata, int], Awaitable[object]]


async def read_job(channel: grpc.aio.Channel, metadata: Metadata, _: int) -> None:
    """Call the one operation that fails."""
    stub: Any = deadline_pb2_grpc.DeadlineServiceStub(channel)
    request = deadline_pb2.GetJobRequest(
        farm_id=seed.FARM_ID, queue_id=seed.QUEUE_ID, job_id=seed.JOB_ID
    )
    fresh = (*metadata, ("taskgate-max-age", "0"))
    await stub.GetJob(request, metadata=fresh, timeout=SECONDS)


def _reader(name: str) -> Repeat:
    async def read_task(channel: grpc.aio.Channel, metadata: Metadata, _: int) -> None:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        request = task_service_pb2.GetTaskRequest(name=name)
        request.max_age.FromSeconds(0)
        await stub.GetTask(request, metadata=metadata, timeout=SECONDS)

    return read_task


def _of_target(target: str) -> Repeat:
    async def read(channel: grpc.aio.Channel, metadata: Metadata, number: int) -> None:
        await _reader(RUNNING)(channel, (*metadata, ("taskgate-target", target)), number)

    return read


async def flood(channel: grpc.aio.Channel, metadata: Metadata, number: int) -> None:
    """Call as fast as the server allows.

    A call over HTTP costs client and server about three times the CPU of one over gRPC, so it
    takes fewer of them for the same load. More would measure the lack of cores.
    """
    channel_object: object = channel  # a WebChannel is no subclass of grpc.aio.Channel
    at_once = 3 if isinstance(channel_object, WebChannel) else 10
    calls = (_reader(RUNNING)(channel, metadata, number) for _ in range(at_once))
    await asyncio.gather(*calls, return_exceptions=True)


async def cancel(channel: grpc.aio.Channel, metadata: Metadata, _: int) -> None:
    """Cancel calls while AWS is being called for them."""
    stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    request = task_service_pb2.GetTaskRequest(name=RUNNING)
    request.max_age.FromSeconds(0)
    calls = [stub.GetTask(request, metadata=metadata, timeout=SECONDS) for _ in range(5)]
    await asyncio.sleep(0.002)
    for call in calls:
        call.cancel()


async def read_slowly(channel: grpc.aio.Channel, metadata: Metadata, _: int) -> None:
    """Open a stream of large messages, and read one a second."""
    stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    request = task_watch_pb2.WatchTasksRequest(parent=JOB, view=task_pb2.TASK_VIEW_FULL)
    stream = stub.WatchTasks(request, metadata=metadata, timeout=SECONDS)
    for _ in range(3):
        await stream.read()
        await asyncio.sleep(1)
    stream.cancel()


async def malform(channel: grpc.aio.Channel, metadata: Metadata, number: int) -> None:
    """Send bytes that are not the request's message."""
    call: Any = channel.unary_unary("/taskgate.v1.TaskService/GetTask")
    data = seeded("malformed", number).randbytes(1000)
    await call(data, metadata=metadata, timeout=SECONDS)


# --- What fails -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure, and how its calls may end."""

    repeat: Repeat
    codes: frozenset[str]
    """How its calls end, all of them; otherwise the failure is not what the test is about."""
    fault: str = ""
    """Of the emulator, for the operation GetJob."""
    error: tuple[int, str] = (0, "")
    """HTTP status and code that AWS returns for the operation GetJob."""
    body: dict[str, Any] = field(default_factory=dict)
    """What AWS returns for the operation GetJob."""
    is_expired: bool = False
    """Whether the caller's token has expired."""

    def begin(self, aws: Emulator) -> None:
        """Let the operation fail."""
        if self.fault:
            aws.faults.add(kind=self.fault, service="deadline", operation="*GetJob", seconds=1)
        status, code = self.error
        for operation in ("GetJob", "BatchGetJob") if status or self.body else ():
            headers = {"x-amzn-ErrorType": code} if code else {}
            aws.respond(
                "deadline",
                operation,
                status=status or 200,
                headers=headers,
                body=self.body or {"message": "not for this one"},
                times=100_000,
            )

    def end(self, aws: Emulator) -> None:
        """Let it work again."""
        aws.faults.clear()
        for operation in ("GetJob", "BatchGetJob"):
            aws.discard("deadline", operation)


OWN_LIMITS: Final = ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
"""The failing caller's own time and its rate limit may end its calls, too."""


def _fails(*codes: str, **how: Any) -> Failure:
    return Failure(
        repeat=how.pop("repeat", read_job), codes=frozenset((*codes, *OWN_LIMITS)), **how
    )


OPEN: Final = "UNAVAILABLE"
"""What the circuit breaker returns."""
FAILURES: Final = {
    "operation: throttled": _fails("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", fault="throttle"),
    "operation: 500": _fails("INTERNAL", OPEN, fault="internal"),
    "operation: 503": _fails(OPEN, fault="unavailable"),
    "operation: hangs": _fails("DEADLINE_EXCEEDED", OPEN, fault="hang"),
    "operation: connection reset": _fails(OPEN, fault="reset"),
    "operation: garbage": _fails("INTERNAL", "UNKNOWN", OPEN, fault="garbage"),
    "operation: access denied": _fails("PERMISSION_DENIED", error=(403, "AccessDeniedException")),
    "operation: missing authentication": _fails(
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        OPEN,
        error=(403, "MissingAuthenticationTokenException"),
    ),
    "operation: invalid signature": _fails(
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        OPEN,
        error=(403, "InvalidSignatureException"),
    ),
    "operation: odd value": _fails(
        "OK", "UNKNOWN", body={"jobId": 7, "name": None, "createdAt": "year 10000"}
    ),
    "task: not found": _fails("NOT_FOUND", repeat=_reader(ABSENT)),
    "task: odd value": _fails("OK", "UNKNOWN", repeat=_reader(FAILED)),
    "caller: flooding": _fails("OK", repeat=flood),
    "caller: cancelling": _fails("OK", repeat=cancel),
    "caller: reading slowly": _fails("OK", repeat=read_slowly),
    "caller: malformed requests": _fails("INVALID_ARGUMENT", "NOT_FOUND", "OK", repeat=malform),
    "caller: expired token": _fails(
        "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", repeat=_reader(RUNNING), is_expired=True
    ),
    "target: unreachable": _fails(OPEN, repeat=_of_target("nowhere")),
    "target: bad credentials": _fails(
        "UNAUTHENTICATED", "FAILED_PRECONDITION", OPEN, repeat=_of_target("refusing")
    ),
}


async def repeat_calls(
    messages_to: Connection, address: str, transport: str, metadata: Metadata, name: str
) -> None:
    """Repeat a failure's calls until the process is ended; send their codes every 100 ms."""
    codes: Counter[str] = Counter()
    failure = FAILURES[name]
    async with open_channel(address, transport) as channel:

        async def repeat(index: int) -> None:
            number = index
            while True:
                try:
                    await failure.repeat(channel, metadata, number)
                    codes["OK"] += 1
                except grpc.RpcError as error:
                    codes[str(error.code().name)] += 1
                number += CALLERS
                await asyncio.sleep(PAUSE_SECONDS)

        callers = [asyncio.ensure_future(repeat(index)) for index in range(CALLERS)]
        while not any(caller.done() for caller in callers):
            await asyncio.sleep(0.1)
            if codes:
                messages_to.send(set(codes))
        await asyncio.gather(*callers)


def run(messages_to: Connection, *arguments: Any) -> None:
    """Repeat a failure's calls, as the main function of a process.

    Args:
        messages_to: Receives the codes that calls have ended with so far.
        arguments: The other arguments of `repeat_calls`.
    """
    with suppress(BrokenPipeError):
        asyncio.run(repeat_calls(messages_to, *arguments))
