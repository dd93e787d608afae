"""`make bench-guarded`: a cached GetTask with TLS, token, policy, limits and metrics, and without.

A third server makes traces besides, of one call in ten. The same callers, turn by turn. What counts
is the CPU of the server's process for each call, since callers share the machine with it: with one
core for the server, that is the inverse of how many calls a second it answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc

from benchmarks.machine import Process, taskgate
from taskgate.deadline.v1 import deadline_pb2
from taskgate.v1 import task_service_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.authority import LOOPBACK, Authority
from tests.support.collector import collecting
from tests.support.issuer import AUDIENCE, ISSUER, Issuer

BAR = 0.6
"""What must be left of the calls a second."""

CALLERS = 64
CHANNELS = 8
ROUNDS = 3

IDS = {
    "farm_id": seed.FARM_ID,
    "queue_id": seed.QUEUE_ID,
    "job_id": seed.JOB_ID,
    "step_id": seed.RENDER_STEP_ID,
    "task_id": seed.RUNNING_TASK_ID,
}
NAME = "deadline/" + "/".join(
    f"{collection}/{key}"
    for collection, key in zip(
        ("farms", "queues", "jobs", "steps", "tasks"), IDS.values(), strict=True
    )
)
REQUESTS = {
    "/taskgate.v1.TaskService/GetTask": task_service_pb2.GetTaskRequest(name=NAME),
    "/taskgate.deadline.v1.DeadlineService/GetTask": deadline_pb2.GetTaskRequest(**IDS),
}
POLICY = f"""
permit (
  principal in Group::"render", action in Action::"read",
  resource in Deadline::Queue::"{seed.QUEUE_ID}"
);
permit (principal in Group::"admins", action, resource);
"""
OFTEN = {"TASKGATE_DEFAULT_MAX_AGE_SECONDS": "60"}


@dataclass(frozen=True)
class Side:
    """A server, and how it is called."""

    process: Process
    channel: Callable[[], grpc.aio.Channel]
    metadata: tuple[tuple[str, str], ...]


async def call(side: Side, method: str, request: bytes, calls: int) -> None:
    """Make that many calls, by all callers together."""
    channels = [side.channel() for _ in range(CHANNELS)]
    numbers = iter(range(calls))

    async def caller(channel: grpc.aio.Channel) -> None:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        for _ in numbers:
            await call(request, metadata=side.metadata, wait_for_ready=True)

    await asyncio.gather(*(caller(channels[number % CHANNELS]) for number in range(CALLERS)))
    for channel in channels:
        await channel.close()


def cost(side: Side, method: str, request: bytes, calls: int) -> float:
    """Return the CPU time of one call in microseconds."""
    asyncio.run(call(side, method, request, CALLERS))
    before = side.process.cpu_seconds
    asyncio.run(call(side, method, request, calls))
    return (side.process.cpu_seconds - before) / calls * 1e6


@contextmanager
def sides() -> Iterator[Mapping[str, Side]]:
    """Run all servers."""
    own = (("grpc.use_local_subchannel_pool", 1),)
    authority, issuer = Authority(), Issuer()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate, key = authority.issue("server", *LOOPBACK).write(folder)
        (folder / "keys.json").write_bytes(issuer.published())
        (folder / "policy.cedar").write_text(POLICY)
        guard = {
            "TASKGATE_TLS_CERTIFICATE_FILE": str(certificate),
            "TASKGATE_TLS_KEY_FILE": str(key),
            "TASKGATE_JWT_ISSUER": ISSUER,
            "TASKGATE_JWT_AUDIENCE": AUDIENCE,
            "TASKGATE_JWT_KEYS": str(folder / "keys.json"),
            "TASKGATE_POLICY_FILES": json.dumps([str(folder / "policy.cedar")]),
            "TASKGATE_CALLER_CALLS_PER_SECOND": "1000000",
            "TASKGATE_ADMIN_PORT": "0",
        }
        traces = {
            "TASKGATE_TRACES_ENDPOINT": stack.enter_context(collecting()).endpoint,
            "TASKGATE_TRACES_RATIO": "0.1",
        }
        upstream = stack.enter_context(Emulator()).endpoint_url
        open_ = stack.enter_context(taskgate(upstream, folder / "open.log", OFTEN))
        guarded = stack.enter_context(taskgate(upstream, folder / "log", OFTEN | guard))
        traced = stack.enter_context(taskgate(upstream, folder / "log2", OFTEN | guard | traces))
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        token = f"Bearer {issuer.sign('alice', 'render')}"
        yield {
            "open": Side(open_, lambda: grpc.aio.insecure_channel(open_.address, options=own), ()),
            **{
                name: Side(
                    process,
                    partial(grpc.aio.secure_channel, process.address, credentials, options=own),
                    (("authorization", token),),
                )
                for name, process in (("guarded", guarded), ("traced", traced))
            },
        }


def main() -> int:
    """Run the command line; return 1 if the bar is missed and --check was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"fail below {BAR:.0%}")
    parser.add_argument("--calls", type=int, default=5000, help="in each of the rounds")
    options = parser.parse_args()
    worst = 1.0
    with sides() as both:
        for method, request in REQUESTS.items():
            data = request.SerializeToString()
            rounds = [
                {name: cost(side, method, data, options.calls) for name, side in both.items()}
                for _ in range(ROUNDS)
            ]
            least = {name: min(each[name] for each in rounds) for name in both}
            left = least["open"] / least["guarded"]
            worst = min(worst, left)
            sys.stdout.write(
                f"{method}: {least['open']:.0f} us of CPU, {least['guarded']:.0f} us with TLS,"
                f" token, policy, limits and metrics: {left:.0%} of the calls a second;"
                f" {least['open'] / least['traced']:.0%} with traces of a tenth\n"
            )
    return 1 if options.check and worst < BAR else 0


if __name__ == "__main__":
    sys.exit(main())
