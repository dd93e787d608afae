"""A server at rest: the memory and the threads of a process that serves and has no calls."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskgate_emulator import Emulator
from taskgate_server.services.registry import SERVICES
from taskgate_server.settling import settle_after_start
from taskgate_server.upstream.aws_client.connection import Connection
from taskgate_server.upstream.aws_client.factory import AwsClient
from tests.support.polling import becomes_true
from tests.support.server_process import is_serving, running_process

MAX_MEMORY_MIB = 100.0
"""A server with the defaults takes 94 MiB on Python 3.11, of which 31 are libraries in files. It
took 129 while each client had its own copy of botocore's data, and libraries that only guarded
servers need were imported by all."""
MAX_THREADS = 8
"""Besides gRPC's pool; at present there are 5."""
GRPC_THREADS = "event_engine"
"""gRPC's pool, which has a thread for each core but 4 at least and 16 at most:
https://github.com/grpc/grpc/blob/master/src/core/lib/event_engine/posix_engine/posix_engine.cc"""


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]) / 1024


def thread_names(pid: int) -> list[str]:
    return [path.read_text().strip() for path in Path(f"/proc/{pid}/task").glob("*/comm")]


@pytest.mark.alone
def test_a_server_at_rest_takes_little_memory_and_few_threads(aws: Emulator) -> None:
    with running_process(aws) as server:
        address = server.line("listening")[0]["address"]
        # The contracts are loaded before the first of these lines.
        for _ in SERVICES:
            server.line("AWS service ready")
        assert is_serving(address)
        pid = server.process.pid
        assert becomes_true(lambda: resident_mib(pid) < MAX_MEMORY_MIB), resident_mib(pid)
        names = thread_names(pid)
    others = [name for name in names if name != GRPC_THREADS]
    assert len(others) <= MAX_THREADS, names
    assert len(names) - len(others) <= min(max(os.cpu_count() or 1, 4), 16), names


async def test_the_start_ends_when_all_clients_have_been_tried() -> None:
    def fail() -> AwsClient:
        raise OSError("no network")

    settled: list[None] = []
    with ThreadPoolExecutor() as threads:
        first, last = (Connection(spec, fail, threads) for spec in SERVICES[:2])
        settling = asyncio.ensure_future(
            settle_after_start([first, last], lambda: settled.append(None))
        )
        running = [asyncio.ensure_future(first.run())]
        await first.wait_for_change(0)
        assert not settling.done()
        running.append(asyncio.ensure_future(last.run()))
        await settling
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert settled == [None]
