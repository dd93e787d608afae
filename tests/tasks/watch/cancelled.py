"""Serve watches that a client cancels, and print how the server's memory grows.

`python -m tests.tasks.watch.cancelled KIND ENDPOINT WARM_UP WATCHES SAMPLES` runs a server here and
the client in a child, which cancels each watch after its first message. AWS is at ENDPOINT, in
another process, because an emulator records its requests. KIND: `taskgate`; `bare`, a server of
grpcio alone with a stream of the same shape; `leaking`, the same that keeps 1 KiB for each watch.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from taskgate.v1 import task_service_pb2_grpc, task_watch_pb2
from taskgate_server import app
from tests.support.demo_names import JOB
from tests.support.running_server import settings_for

PAGE_BYTES = 4096
CONCURRENT = 20


SNAPSHOT_MESSAGES = 3


class Bare:
    """A watch that has as many messages as a snapshot and then waits."""

    def __init__(self, kept_bytes: int) -> None:
        self.kept: list[bytes] = []
        self._kept_bytes = kept_bytes

    async def WatchTasks(  # noqa: N802  # the contract's name
        self, *_: Any
    ) -> AsyncIterator[task_watch_pb2.WatchTasksResponse]:
        """Yield messages, then wait for the client to go."""
        if self._kept_bytes:
            self.kept.append(bytes(self._kept_bytes))
        for _message in range(SNAPSHOT_MESSAGES):
            yield task_watch_pb2.WatchTasksResponse()
        await asyncio.Event().wait()


def resident_bytes() -> int:
    """Return this process's resident memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


async def watch(address: str) -> None:
    """Open and cancel as many watches as each line of stdin says; answer with a line."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        request = task_watch_pb2.WatchTasksRequest(parent=JOB)

        async def one() -> None:
            stream = stub.WatchTasks(request)
            await stream.read()
            stream.cancel()

        for line in sys.stdin:
            for _ in range(int(line) // CONCURRENT):
                await asyncio.gather(*(one() for _ in range(CONCURRENT)))
            sys.stdout.write("done\n")
            sys.stdout.flush()


@contextmanager
def watching(address: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.tasks.watch.cancelled", "client", address]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as client:  # type: ignore[call-overload]  # of pipes
        yield client
        client.stdin.close()


async def measure(address: str, warm_up: int, watches: int, samples: int) -> None:
    """Print the number of watches so far and the resident bytes, for each sample."""
    with watching(address) as client:

        def cancel(count: int) -> None:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(f"{count}\n")
            client.stdin.flush()
            client.stdout.readline()

        await asyncio.to_thread(cancel, warm_up)
        for sample in range(samples):
            sys.stdout.write(f"{sample * watches // samples} {resident_bytes()}\n")
            await asyncio.to_thread(cancel, watches // samples)


async def serve_bare(kept_bytes: int, *numbers: int) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        Bare(kept_bytes).WatchTasks,
        task_watch_pb2.WatchTasksRequest.FromString,
        task_watch_pb2.WatchTasksResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler(
        "taskgate.v1.TaskService", {"WatchTasks": handler}
    )
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await measure(f"127.0.0.1:{port}", *numbers)
    await server.stop(0)


async def serve_taskgate(endpoint_url: str, *numbers: int) -> None:
    built = app.build(settings_for(endpoint_url, default_max_age_seconds=60))
    address = await built.server.start()
    await measure(str(address), *numbers)
    await built.server.drain(1)
    await built.close()


def main(kind: str, *arguments: str) -> None:
    """Run one side."""
    if kind == "client":
        asyncio.run(watch(arguments[0]))
        return
    endpoint_url, *texts = arguments
    numbers = list(map(int, texts))
    if kind == "taskgate":
        asyncio.run(serve_taskgate(endpoint_url, *numbers))
    else:
        asyncio.run(serve_bare(1024 if kind == "leaking" else 0, *numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
