"""A TaskService whose watches stay open, and which counts them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from tests.support.fake_service import snapshot, task
from tests.support.polling import becomes_true

# At run time a servicer has all methods; its types have them abstract, and for threads.
_Servicer: Any = task_service_pb2_grpc.TaskServiceServicer


class OpenStreams(_Servicer):  # type: ignore[misc]  # see above
    """Watches send a snapshot and stay open; waits do not end."""

    def __init__(self) -> None:
        self.opened = 0
        self.count = 0
        """Streams and waits that are open."""
        self.address = ""

    async def WatchTasks(  # noqa: N802  # gRPC's name
        self, _: Any, context: Any
    ) -> AsyncIterator[task_watch_pb2.WatchTasksResponse]:
        self._open(context)
        for each in snapshot(task(1), token=b"t"):
            yield each
        await asyncio.Event().wait()

    async def WaitTask(self, _: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        self._open(context)
        await asyncio.Event().wait()

    async def GetTask(self, _: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        self._open(context)
        await asyncio.Event().wait()

    def becomes(self, count: int, seconds: float = 1.0) -> bool:
        """Return whether so many streams and waits are open within some seconds."""
        return becomes_true(lambda: self.count == count, seconds)

    def _open(self, context: Any) -> None:
        self.opened += 1
        self.count += 1
        context.add_done_callback(self._close)

    def _close(self, _: Any) -> None:
        self.count -= 1


@contextmanager
def open_streams() -> Iterator[OpenStreams]:
    """Serve on loopback, in a thread."""
    served, loop, stop, ready = (
        OpenStreams(),
        asyncio.new_event_loop(),
        asyncio.Event(),
        threading.Event(),
    )

    async def run() -> None:
        server = grpc.aio.server()
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(served, server)
        served.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop(None)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait(10)
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
