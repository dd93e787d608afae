"""Peer (e), the limit: grpc.aio as Taskgate runs it, with a handler that returns prebuilt bytes.

The event loop, the number of acceptors, gRPC's options and the garbage collector's settings are the
server's own, imported from it. What Taskgate needs beyond this peer is Taskgate's own cost.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import grpc
import uvloop

from benchmarks import workload
from benchmarks.peers import messages, upstream
from taskgate_server.app import YOUNG_OBJECTS
from taskgate_server.config import Settings
from taskgate_server.ports import Address, reserve
from taskgate_server.server import ACCEPTORS, acceptor_options


async def get_task(_request: bytes, _context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """Return the same task each time."""
    return messages.PREBUILT


async def serve() -> None:
    """Serve until killed."""
    gc.disable()
    _, service, method = workload.GET_TASK.split("/")
    handler: Any = grpc.unary_unary_rpc_method_handler(get_task)
    handlers = grpc.method_handlers_generic_handler(service, {method: handler})
    options = acceptor_options(Settings(), None)
    acceptors = [grpc.aio.server(options=options) for _ in range(ACCEPTORS)]
    address = reserve(Address(host="127.0.0.1", port=0))
    for acceptor in acceptors:
        acceptor.add_generic_rpc_handlers((handlers,))
        acceptor.add_insecure_port(str(address))
        await acceptor.start()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()
    upstream.print_port(address.port)
    await asyncio.gather(*(acceptor.wait_for_termination() for acceptor in acceptors))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
