"""Callers that leave: the connection to AWS is closed with the last one, and not before."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from tests.support.failing_upstream import STEP, task_id
from tests.support.running_server import running_app, running_server, settings_for
from tests.support.scripted_upstream import Request, hang, ok, scripted

pytestmark = pytest.mark.timed

CLOSE_SECONDS = 0.05
REQUEST = deadline_pb2.GetTaskRequest(task_id=task_id(1), **STEP)
WRITE = deadline_pb2.UpdateTaskRequest(
    farm_id=STEP["farm_id"],
    queue_id=STEP["queue_id"],
    job_id=STEP["job_id"],
    step_id=STEP["step_id"],
    task_id=task_id(1),
    target_run_status=deadline_pb2.TASK_TARGET_RUN_STATUS_READY,
)


async def test_aws_connection_closes_with_the_last_caller() -> None:
    async with scripted(hang) as upstream:
        with running_app(settings_for(upstream.url)) as (app, address):
            calls = app.connections[0].gateways["deadline"].in_flight_calls
            async with grpc.aio.insecure_channel(str(address)) as channel:
                stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
                first, last = (stub.GetTask(REQUEST, timeout=30) for _ in range(2))
                await upstream.received.wait()
                while not calls.joined:  # noqa: ASYNC110  # a counter has no event
                    await asyncio.sleep(0.001)
                first.cancel()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(upstream.closed.wait(), 0.3)
                last.cancel()
                began = time.monotonic()
                await upstream.closed.wait()
                assert time.monotonic() - began < CLOSE_SECONDS
                assert len(upstream.requests) == 1


async def test_aws_connection_closes_with_the_deadline() -> None:
    async with scripted(hang) as upstream:
        with running_server(settings_for(upstream.url)) as address:
            async with grpc.aio.insecure_channel(str(address)) as channel:
                await channel.channel_ready()
                call = deadline_pb2_grpc.DeadlineServiceStub(channel).GetTask(REQUEST, timeout=2)
                async with asyncio.timeout(30):
                    await upstream.received.wait()
                    with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                        await call
                    began = time.monotonic()
                    await upstream.closed.wait()
                assert time.monotonic() - began < CLOSE_SECONDS


async def test_a_cancelled_write_expires_reads() -> None:
    """AWS may execute it although the connection is closed."""

    async def respond(request: Request) -> bytes:
        if request.method == "GET":
            return ok(b'{"taskId": "%s"}' % task_id(1).encode())
        return await hang(request)

    async with scripted(respond) as upstream:
        settings = settings_for(upstream.url, default_max_age_seconds=60)
        with running_server(settings) as address:
            async with grpc.aio.insecure_channel(str(address)) as channel:
                stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
                await stub.GetTask(REQUEST, timeout=10)
                await stub.GetTask(REQUEST, timeout=10)
                assert len(upstream.requests) == 1, "the second one is cached"
                write = stub.UpdateTask(WRITE, timeout=10)
                while len(upstream.requests) < 2:  # noqa: ASYNC110  # a list has no event
                    await asyncio.sleep(0.001)
                write.cancel()
                await upstream.closed.wait()
                await stub.GetTask(REQUEST, timeout=10)
                await stub.GetTask(REQUEST, timeout=10)
                assert len(upstream.requests) == 4, "neither of them was shared"
