"""A server with authentication as a process, which is measured from outside."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_emulator import Emulator
from tests.support.demo_names import RUNNING
from tests.support.issuer import AUDIENCE, ISSUER, Issuer
from tests.support.server_process import COMMAND, cpu_seconds
from tests.support.web_channel import open_channel

ROOT = Path(__file__).parents[2]
SECONDS = 20.0
Metadata = tuple[tuple[str, str], ...]
POLICY = """
permit (principal in Group::"readers", action in Action::"read", resource);
permit (principal in Group::"all", action in [Action::"read", Action::"write"], resource);
"""


@dataclass
class GuardedServer:
    """The server, its log so far, and its issuer of tokens."""

    process: subprocess.Popen[str]
    issuer: Issuer
    policy: Path
    address: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def http_address(self) -> str:
        """Return host and port of the HTTP port."""
        found = re.search(
            r'"message": "listening for http", "address": "([^"]+)"', "".join(self.lines)
        )
        assert found is not None
        return found[1]

    def address_of(self, transport: str) -> str:
        """Return the address for `grpc` or `http`."""
        return self.http_address if transport == "http" else self.address

    @property
    def pid(self) -> int:
        return self.process.pid

    def token(self, subject: str = "alice", *groups: str, **claims: Any) -> Metadata:
        """Return the metadata of a caller in some groups; in `readers` if none is named."""
        token = self.issuer.sign(subject, *(groups or ("readers",)), **claims)
        return (("authorization", f"Bearer {token}"),)

    def rss(self) -> int:
        """Return the resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def cpu(self) -> float:
        """Return the seconds of CPU used so far."""
        return cpu_seconds(self.pid)

    def log_bytes(self) -> int:
        return sum(map(len, self.lines))

    @contextmanager
    def channel(self, **options: Any) -> Iterator[grpc.Channel]:
        """Yield a channel with a connection of its own."""
        own = (("grpc.use_local_subchannel_pool", 1), *options.items())
        with grpc.insecure_channel(self.address, options=own) as channel:
            yield channel

    def get(self, metadata: Metadata = (), name: str = RUNNING) -> str:
        """Return the code that a read ends with, on a connection of its own."""
        with self.channel() as channel:
            stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
            request = task_service_pb2.GetTaskRequest(name=name)
            return ended(lambda: stub.GetTask(request, metadata=metadata, timeout=SECONDS))


def ended(call: Callable[[], object]) -> str:
    """Return the name of the code that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@contextmanager
def guarded_server(
    aws: Emulator,
    folder: Path,
    *,
    command: Sequence[str] = COMMAND,
    rules: str = POLICY,
    **settings: str,
) -> Iterator[GuardedServer]:
    """Run a server that authenticates callers by token, and read its log.

    Args:
        aws: its AWS.
        folder: for the policy.
        command: the command that serves.
        rules: its policy, in Cedar.
        settings: variables without `TASKGATE_`, in lower case.
    """
    policy = folder / "policy.cedar"
    policy.write_text(rules)
    issuer = Issuer()
    with issuer.serving() as keys:
        given = {
            "listen_port": "0",
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_keys": keys,
            "policy_files": f'["{policy}"]',
            "default_max_age_seconds": "60",
            "aws__deadline__endpoint_url": aws.endpoint_url,
            "aws__omics__endpoint_url": aws.endpoint_url,
            **settings,
        }
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TASKGATE_")},
            "AWS_REGION": "us-west-2",
            **{f"TASKGATE_{name.upper()}": value for name, value in given.items()},
        }
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        site = GuardedServer(process, issuer, policy)
        reader = _read_log(site)
        try:
            _await(site)
            yield site
        finally:
            process.kill()
            process.wait()
            reader.join()
            assert process.stderr is not None
            process.stderr.close()


def _read_log(site: GuardedServer) -> threading.Thread:
    """Read the log in a thread, so that the server never waits for it."""
    assert site.process.stderr is not None
    stream = site.process.stderr
    reader = threading.Thread(target=lambda: site.lines.extend(stream))
    reader.start()
    return reader


def _await(site: GuardedServer) -> None:
    """Wait until the server serves; its first calls load what is loaded once."""
    until = time.monotonic() + SECONDS
    while not site.address:
        assert time.monotonic() < until, site.lines[-5:]
        assert site.process.poll() is None, site.lines[-5:]
        for line in list(site.lines):
            found = re.search(r'"message": "listening", "address": "([^"]+)"', line)
            if found:
                site.address = found[1]
        time.sleep(0.01)
    while site.get(site.token("warm-up")) != "OK":
        assert time.monotonic() < until, site.lines[-5:]
        assert site.process.poll() is None, site.lines[-5:]


@dataclass(frozen=True)
class Cost:
    """What calls cost the server."""

    cpu: float
    """Seconds of CPU for a call."""
    retained: float
    """Bytes of memory for a call that stay."""
    codes: Mapping[str, int]


def measure(site: GuardedServer, calls: Sequence[Callable[[], object]]) -> Cost:
    """Return what some calls cost, one after the other."""
    gc.collect()
    cpu, rss = site.cpu(), site.rss()
    codes: dict[str, int] = {}
    for call in calls:
        code = ended(call)
        codes[code] = codes.get(code, 0) + 1
    return Cost((site.cpu() - cpu) / len(calls), max(site.rss() - rss, 0) / len(calls), codes)


@dataclass(frozen=True)
class Experience:
    """What another caller, and the liveness probe, experienced."""

    p50: float
    p99: float
    failures: int
    dead: int
    """Failed checks of `live`."""


async def experience(
    site: GuardedServer, metadata: Metadata, calls: int = 150, transport: str = "grpc"
) -> Experience:
    """Read a cached task now and then, as a quiet caller does."""
    took, failures, dead = [], 0, 0
    async with (
        open_channel(site.address_of(transport), transport) as channel,
        open_channel(site.address, "grpc") as probe,
    ):
        stub: Any = task_service_pb2_grpc.TaskServiceStub(channel)
        health: Any = health_pb2_grpc.HealthStub(probe)
        request = task_service_pb2.GetTaskRequest(name=RUNNING)
        for number in range(calls):
            began = time.perf_counter()
            try:
                await stub.GetTask(request, metadata=metadata, timeout=SECONDS)
            except grpc.RpcError:
                failures += 1
            took.append(time.perf_counter() - began)
            if number % 10 == 0:
                try:
                    await health.Check(health_pb2.HealthCheckRequest(service="live"), timeout=1)
                except grpc.RpcError:
                    dead += 1
            await asyncio.sleep(0.003)
    took.sort()
    return Experience(took[calls // 2], took[int(calls * 0.99)], failures, dead)
