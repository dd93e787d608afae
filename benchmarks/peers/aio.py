"""Peer (d): aiobotocore behind grpc.aio, one call per RPC."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from aiobotocore.config import AioConfig  # type: ignore[import-not-found]  # only in its own environment
from aiobotocore.session import get_session  # type: ignore[import-not-found]  # the same

from benchmarks.peers import messages, upstream
from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc

CONNECTIONS = 100
"""More makes no difference: the CPU is what is busy then."""


class Deadline(deadline_pb2_grpc.DeadlineServiceServicer):
    """GetTask of Deadline Cloud."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def GetTask(  # noqa: N802  # gRPC's name
        self,
        request: deadline_pb2.GetTaskRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002  # gRPC's signature
    ) -> deadline_pb2.GetTaskResponse:
        """Return one task."""
        return messages.task_message(await self._client.get_task(**messages.task_params(request)))


async def serve(url: str) -> None:
    """Serve until killed."""
    config = AioConfig(**upstream.options(CONNECTIONS))
    async with get_session().create_client(
        "deadline", endpoint_url=url, config=config, **upstream.CREDENTIALS
    ) as client:
        server = grpc.aio.server(options=(("grpc.server.max_pending_requests", 100_000),))
        deadline_pb2_grpc.add_DeadlineServiceServicer_to_server(
            Deadline(client),  # type: ignore[abstract]  # the benchmark calls no other method
            server,
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        upstream.print_port(port)
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(upstream.upstream_url()))
