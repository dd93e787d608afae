"""`make bench-watch`: what many watchers cost AWS and the server, and how soon they know.

Three processes on loopback: a render farm, the server, and here the watchers, which read as fast as
they can. Exits with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from benchmarks.render_farm import JOB_NAME, STEP, task_id
from benchmarks.streams import server
from taskgate.v1 import task_watch_pb2

Response = task_watch_pb2.WatchTasksResponse
WATCH = "/taskgate.v1.TaskService/WatchTasks"
WAIT = "/taskgate.v1.TaskService/WaitTask"
CHANNELS = 20
SNAPSHOT_END = Response.SNAPSHOT_END_FIELD_NUMBER
TASK_CHANGE = Response.TASK_CHANGE_FIELD_NUMBER

FAN_OUT_BAR_SECONDS = 0.25
WATCHER_BAR_KIB = 40.0
SNAPSHOT_BAR_MIB = 150.0
WAITERS_BAR_CALLS = 10.0


class Farm:
    """The render farm's process, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, what: str) -> Any:
        """What the farm says of itself."""
        with urllib.request.urlopen(f"{self.url}/bench/{what}") as answer:  # noqa: S310  # http, our own
            return json.load(answer)

    def calls(self) -> dict[str, int]:
        """Calls so far, by operation."""
        calls: dict[str, int] = self.ask("calls")
        return calls


@contextmanager
def farm(tasks: int) -> Iterator[Farm]:
    """A render farm with a job of so many tasks."""
    command = [sys.executable, "-m", "benchmarks.render_farm", str(tasks)]
    process = subprocess.Popen(  # noqa: S603  # our own module
        command, stdout=subprocess.PIPE, text=True
    )
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        yield Farm(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.communicate()


class Watchers:
    """Streams of WatchTasks on one job, whose messages are only looked at from outside."""

    def __init__(self, address: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(address, options) for _ in range(CHANNELS)]
        self._streams: list[asyncio.Task[None]] = []
        self.began = 0
        self.got: dict[bytes, list[float]] = {}
        self.snapshot_bytes = 0

    async def start(self, count: int, request: task_watch_pb2.WatchTasksRequest) -> None:
        """Begins so many, and waits until each has its snapshot."""
        self.began = 0
        content = request.SerializeToString()
        for number in range(count):
            channel = self._channels[number % CHANNELS]
            self._streams.append(asyncio.ensure_future(self._follow(channel, content)))
        while self.began < count:
            await asyncio.sleep(0.05)
            for stream in self._streams:
                if stream.done():
                    stream.result()

    async def _follow(self, channel: grpc.aio.Channel, request: bytes) -> None:
        method: Any = channel.unary_stream(WATCH)
        async for message in method(request):
            kind = message[0] >> 3
            if kind == TASK_CHANGE:
                self.got.setdefault(message, []).append(time.time())
            elif kind == SNAPSHOT_END:
                self.began += 1
            else:
                self.snapshot_bytes += len(message)

    async def stop(self) -> None:
        """Ends all."""
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        self._streams = []
        for channel in self._channels:
            await channel.close()


def resident_kib(pid: int, what: str = "VmRSS") -> float:
    """Memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123  # procfs
        return float(next(line for line in status if line.startswith(what)).split()[1])


def said(line: str) -> None:
    """Prints a result."""
    print(line, flush=True)  # noqa: T201  # its output


async def cost(watchers: int, tasks: int, seconds: float) -> tuple[float, list[float]]:
    """AWS calls while so many watch a job in which a task moves each second; and the delays."""
    with farm(tasks) as upstream, server(upstream.url) as (_, address):
        crowd = Watchers(address)
        await crowd.start(watchers, task_watch_pb2.WatchTasksRequest(parent=JOB_NAME))
        loading = upstream.calls()
        for _ in range(int(seconds)):
            await asyncio.to_thread(upstream.ask, "move?count=1")
            await asyncio.sleep(1)
        calls = upstream.calls()
        spent = {name: count - loading.get(name, 0) for name, count in calls.items()}
        spent = {name: count for name, count in spent.items() if count}
        told, delays = await asyncio.to_thread(upstream.ask, "told"), []
        for message, times in crowd.got.items():
            change = Response.FromString(message).task_change
            first = told[change.task.deadline.task_id]
            delays += [each - first for each in times if each > first]
        await crowd.stop()
    said(
        f"{watchers:5} watchers of {tasks} tasks: {sum(loading.values())} AWS calls to begin with,"
        f" then {sum(spent.values()) / seconds:.1f}/s {spent}"
    )
    return sum(spent.values()) / seconds, delays


async def idle(watchers: int) -> float:
    """KiB of the server for each of so many streams of a small job that does not move."""
    with farm(10) as upstream, server(upstream.url) as (pid, address):
        crowd = Watchers(address)
        request = task_watch_pb2.WatchTasksRequest(parent=JOB_NAME)
        said(f"a server at rest: {resident_kib(pid) / 1024:.0f} MiB")
        await crowd.start(50, request)
        before = resident_kib(pid)
        began = time.monotonic()
        await crowd.start(watchers, request)
        opened = time.monotonic() - began
        await asyncio.sleep(12)  # a heartbeat has come to each
        each = (resident_kib(pid) - before) / watchers
        await crowd.stop()
    said(f"{watchers:5} idle watchers, opened in {opened:.1f} s: {each:.1f} KiB each")
    return each


async def snapshot(tasks: int) -> float:
    """MiB by which the server grows for the snapshot of a large job, to ten watchers."""
    with farm(tasks) as upstream, server(upstream.url) as (pid, address):
        crowd = Watchers(address)
        before = resident_kib(pid)
        began = time.monotonic()
        await crowd.start(10, task_watch_pb2.WatchTasksRequest(parent=JOB_NAME))
        took = time.monotonic() - began
        grown = (resident_kib(pid, "VmHWM") - before) / 1024
        size = crowd.snapshot_bytes / 10 / 1024 / 1024
        await crowd.stop()
    said(f"snapshot of {tasks} tasks ({size:.1f} MiB): {took:.1f} s, +{grown:.0f} MiB at the peak")
    return grown


async def waiters(count: int, seconds: float) -> float:
    """AWS calls per second while so many wait for as many tasks."""
    with farm(count) as upstream, server(upstream.url) as (_, address):
        channels = [grpc.aio.insecure_channel(address) for _ in range(CHANNELS)]
        methods: list[Any] = [channel.unary_unary(WAIT) for channel in channels]
        waiting: list[asyncio.Future[bytes]] = [
            asyncio.ensure_future(
                methods[number % CHANNELS](
                    task_watch_pb2.WaitTaskRequest(
                        name=f"{JOB_NAME}/steps/{STEP}/tasks/{task_id(number)}"
                    ).SerializeToString(),
                    timeout=seconds + 30,
                )
            )
            for number in range(count)
        ]
        busiest, before = 0.0, sum(upstream.calls().values())
        began, first = time.monotonic(), before
        while time.monotonic() - began < seconds:
            await asyncio.sleep(1)
            now = sum((await asyncio.to_thread(upstream.calls)).values())
            busiest, before = max(busiest, now - before), now
        rate = (before - first) / (time.monotonic() - began)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for channel in channels:
            await channel.close()
    said(f"{count:5} waiters on {count} tasks: {rate:.1f} AWS calls/s, {busiest:g} in the busiest")
    return rate


async def run(arguments: argparse.Namespace) -> list[str]:
    """All measurements; returns the bars that were missed."""
    seconds = arguments.seconds
    one, _ = await cost(1, arguments.tasks, seconds)
    many, delays = await cost(arguments.watchers, arguments.tasks, seconds)
    median = statistics.median(delays)
    late = statistics.quantiles(delays, n=100)[98]
    said(
        f"a change reaches {arguments.watchers} watchers {median * 1000:.0f} ms after AWS has told"
        f" of it at the median, 99 % within {late * 1000:.0f} ms"
    )
    each = await idle(arguments.streams)
    grown = await snapshot(arguments.large)
    rate = await waiters(arguments.waiters, seconds)
    bars = {
        f"many cost AWS what one costs: {many:.1f}/s, {one:.1f}/s": many <= one * 1.5 + 1,
        f"median fan-out of {FAN_OUT_BAR_SECONDS} s": median <= FAN_OUT_BAR_SECONDS,
        f"{WATCHER_BAR_KIB:g} KiB for an idle watcher": each <= WATCHER_BAR_KIB,
        f"+{SNAPSHOT_BAR_MIB:g} MiB for a snapshot": grown <= SNAPSHOT_BAR_MIB,
        f"{WAITERS_BAR_CALLS:g} AWS calls/s for waiters": rate <= WAITERS_BAR_CALLS,
    }
    return [bar for bar, holds in bars.items() if not holds]


def main() -> int:
    """Returns 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("watchers", 1_000),
        ("tasks", 5_000),
        ("streams", 5_000),
        ("large", 10_000),
        ("waiters", 2_000),
        ("seconds", 20),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help="default: %(default)s")
    missed = asyncio.run(run(parser.parse_args()))
    for bar in missed:
        said(f"missed: {bar}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
