"""`make bench-watch`: what many watchers cost AWS and the server, and the delay of a change.

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
    """The process of the render farm, over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, what: str) -> Any:
        """Return data of the farm."""
        with urllib.request.urlopen(f"{self.url}/bench/{what}") as response:  # noqa: S310  # http, our own
            return json.load(response)

    def calls(self) -> dict[str, int]:
        """Return the calls so far, by operation."""
        calls: dict[str, int] = self.get("calls")
        return calls


@contextmanager
def farm(tasks: int) -> Iterator[Farm]:
    """Run a render farm with a job of so many tasks."""
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
    """Streams of WatchTasks on one job, whose messages are not parsed."""

    def __init__(self, address: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(address, options) for _ in range(CHANNELS)]
        self._streams: list[asyncio.Task[None]] = []
        self.began = 0
        self.got: dict[bytes, list[float]] = {}
        self.snapshot_bytes = 0

    async def start(self, count: int, request: task_watch_pb2.WatchTasksRequest) -> None:
        """Open streams, and wait until each has its snapshot."""
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
        """Close all streams."""
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        self._streams = []
        for channel in self._channels:
            await channel.close()


def resident_kib(pid: int, what: str = "VmRSS") -> float:
    """Return the memory of a process in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123  # procfs
        return float(next(line for line in status if line.startswith(what)).split()[1])


def report(line: str) -> None:
    """Print a result."""
    print(line, flush=True)  # noqa: T201  # its output


async def cost(watchers: int, tasks: int, seconds: float) -> tuple[float, list[float]]:
    """Return AWS calls per second, and delays, while a task of a watched job moves each second."""
    with farm(tasks) as upstream, server(upstream.url) as (_, address):
        watchers_ = Watchers(address)
        await watchers_.start(watchers, task_watch_pb2.WatchTasksRequest(parent=JOB_NAME))
        loading = upstream.calls()
        for _ in range(int(seconds)):
            await asyncio.to_thread(upstream.get, "move?count=1")
            await asyncio.sleep(1)
        calls = upstream.calls()
        spent = {name: count - loading.get(name, 0) for name, count in calls.items()}
        spent = {name: count for name, count in spent.items() if count}
        reported_at, delays = await asyncio.to_thread(upstream.get, "reported"), []
        for message, times in watchers_.got.items():
            change = Response.FromString(message).task_change
            first = reported_at[change.task.deadline.task_id]
            delays += [each - first for each in times if each > first]
        await watchers_.stop()
    report(
        f"{watchers:5} watchers of {tasks} tasks: {sum(loading.values())} AWS calls to begin with,"
        f" then {sum(spent.values()) / seconds:.1f}/s {spent}"
    )
    return sum(spent.values()) / seconds, delays


async def idle(watchers: int) -> float:
    """Return the server's KiB for each stream of a small job that does not change."""
    with farm(10) as upstream, server(upstream.url) as (pid, address):
        watchers_ = Watchers(address)
        request = task_watch_pb2.WatchTasksRequest(parent=JOB_NAME)
        report(f"a server at rest: {resident_kib(pid) / 1024:.0f} MiB")
        await watchers_.start(50, request)
        before = resident_kib(pid)
        began = time.monotonic()
        await watchers_.start(watchers, request)
        opened = time.monotonic() - began
        await asyncio.sleep(12)  # a heartbeat has come to each
        each = (resident_kib(pid) - before) / watchers
        await watchers_.stop()
    report(f"{watchers:5} idle watchers, opened in {opened:.1f} s: {each:.1f} KiB each")
    return each


async def snapshot(tasks: int) -> float:
    """Return the MiB that a snapshot of a large job, to ten watchers, costs the server."""
    with farm(tasks) as upstream, server(upstream.url) as (pid, address):
        watchers_ = Watchers(address)
        before = resident_kib(pid)
        began = time.monotonic()
        await watchers_.start(10, task_watch_pb2.WatchTasksRequest(parent=JOB_NAME))
        took = time.monotonic() - began
        grown = (resident_kib(pid, "VmHWM") - before) / 1024
        size = watchers_.snapshot_bytes / 10 / 1024 / 1024
        await watchers_.stop()
    report(
        f"snapshot of {tasks} tasks ({size:.1f} MiB): {took:.1f} s, +{grown:.0f} MiB at the peak"
    )
    return grown


async def waiters(count: int, seconds: float) -> float:
    """Return AWS calls per second while so many calls wait for as many tasks."""
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
    report(
        f"{count:5} waiters on {count} tasks: {rate:.1f} AWS calls/s, {busiest:g} in the busiest"
    )
    return rate


async def run(arguments: argparse.Namespace) -> list[str]:
    """Measure everything; return the bars that were missed."""
    seconds = arguments.seconds
    one, _ = await cost(1, arguments.tasks, seconds)
    many, delays = await cost(arguments.watchers, arguments.tasks, seconds)
    median = statistics.median(delays)
    late = statistics.quantiles(delays, n=100)[98]
    report(
        f"a change reaches {arguments.watchers} watchers {median * 1000:.0f} ms after AWS has"
        f" reported it at the median, 99 % within {late * 1000:.0f} ms"
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
    """Run the command line; return 1 if a bar is missed."""
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
        report(f"missed: {bar}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
