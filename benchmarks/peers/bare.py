"""Peer (e), the limit: a bare grpc.aio server that answers with prebuilt bytes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc

from benchmarks import workload
from benchmarks.peers import messages, upstream

WHEN = datetime(2026, 11, 20, 8, 0, 0, 123000, tzinfo=UTC)

# The same answer that the stub gives to the others.
ANSWER = messages.task_message(
    {
        "taskId": workload.task_params(1)["taskId"],
        "createdAt": WHEN,
        "createdBy": "arn:aws:sts::123456789012:assumed-role/Artists/sam",
        "runStatus": "RUNNING",
        "failureRetryCount": 1,
        "startedAt": WHEN,
        "updatedAt": WHEN,
        "updatedBy": "arn:aws:iam::123456789012:role/Worker",
        "latestSessionActionId": f"sessionaction-{'0123456789abcdef' * 2}-7",
        "parameters": {"Frame": {"int": "17"}, "Camera": {"string": "main"}},
    }
).SerializeToString()


async def get_task(_request: bytes, _context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """Return the same task each time."""
    return ANSWER


async def serve() -> None:
    """Serve until killed."""
    server = grpc.aio.server(options=(("grpc.server.max_pending_requests", 100_000),))
    _, service, method = workload.GET_TASK.split("/")
    handler: Any = grpc.unary_unary_rpc_method_handler(get_task)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    upstream.print_port(port)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
