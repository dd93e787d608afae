"""The scenarios and the peers, and how one run is measured."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, workload
from benchmarks.load import Generator, Load, build, read
from benchmarks.machine import AIO_PYTHON, SERVER_CORE, WEB_PYTHON, Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The requests, the number of callers, and the latency of the upstream."""

    name: str
    title: str
    callers: int
    same_task: bool = False
    latency_ms: int
    peers: tuple[str, ...]


SERVERS = ("taskgate", "facade", "web", "aio", "bare")
SCENARIOS = (
    Scenario(
        name="many",
        title="1,000 callers, distinct tasks, upstream 30 ms",
        callers=1000,
        latency_ms=30,
        peers=(*SERVERS, "direct-1", "direct-8", "direct-32"),
    ),
    Scenario(
        name="same",
        title="1,000 callers, the same task, `max_age` 1 s, upstream 30 ms",
        callers=1000,
        same_task=True,
        latency_ms=30,
        peers=("taskgate", "facade", "bare"),
    ),
    Scenario(
        name="busy",
        title="128 callers, distinct tasks, upstream 0 ms",
        callers=128,
        latency_ms=0,
        peers=(*SERVERS, "direct-1", "direct-8", "direct-32"),
    ),
    Scenario(
        name="one-slow",
        title="1 caller, distinct tasks, upstream 30 ms",
        callers=1,
        latency_ms=30,
        peers=(*SERVERS, "direct-1"),
    ),
    Scenario(
        name="one-fast",
        title="1 caller, distinct tasks, upstream 0 ms",
        callers=1,
        latency_ms=0,
        peers=(*SERVERS, "direct-1"),
    ),
)

TITLES = {
    "taskgate": "Taskgate",
    "facade": "(b) sync gRPC, 10 threads, boto3",
    "web": "(c) FastAPI, boto3",
    "aio": "(d) grpc.aio, aiobotocore",
    "bare": "(e) bare grpc.aio, prebuilt answer",
    "direct-1": "(a) boto3, 1 thread, no server",
    "direct-8": "(a) boto3, 8 threads, no server",
    "direct-32": "(a) boto3, 32 threads, no server",
}

UNSHARED = {"TASKGATE_DEFAULT_MAX_AGE_SECONDS": "0"}
"""Every call wants an answer from after it came: nothing kept may serve it, only batches help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One peer in one scenario, once."""

    load: Load
    aws_calls: float
    """For each 1,000 RPCs."""
    cpu_us: float
    """The server's CPU time for one RPC; NaN for no server."""


class Bench:
    """The upstream stub, the generator and the servers, which are started when first needed."""

    def __init__(self, stack: ExitStack, generator: Generator, upstream: str, home: Path) -> None:
        self._stack = stack
        self.generator = generator
        self.upstream = upstream
        self.home = home
        self._servers: dict[str, Process] = {}
        numbers = range(workload.DISTINCT_TASKS)
        write = workload.write_records
        self.distinct = write(home / "distinct", numbers, workload.grpc_record)
        self._same = write(home / "same", [1], workload.grpc_record)
        self._distinct_http = write(home / "distinct-http", numbers, workload.http_record)

    def run(self, scenario: Scenario, peer: str) -> Run:
        """Run a scenario once with a peer."""
        reset = f"reset?latency_ms={scenario.latency_ms}"
        if peer.startswith("direct-"):
            machine.query_stub(self.upstream, reset)
            return self._measured(lambda: self._direct(int(peer.partition("-")[2])), None)
        server = self._server(peer, shared=scenario.same_task)
        machine.query_stub(self.upstream, reset)
        requests = self._same if scenario.same_task else self.distinct
        if peer == "web":
            requests = self._distinct_http
        return self._measured(
            lambda: self.generator.run(
                server.address, scenario.callers, requests, workload.GET_TASK, http=peer == "web"
            ),
            server,
        )

    def _measured(self, load: Callable[[], Load], server: Process | None) -> Run:
        before = server.cpu_seconds if server else 0.0
        seen = load()
        cpu = server.cpu_seconds - before if server else float("nan")
        calls = sum(machine.query_stub(self.upstream, "counts").values())
        total = max(1, seen.total)
        return Run(load=seen, aws_calls=1000 * calls / total, cpu_us=1e6 * cpu / total)

    def measure(self, server: Process, callers: int) -> Run:
        """Run a load of distinct tasks on any server, for `growth`."""
        machine.query_stub(self.upstream, "reset?latency_ms=30")
        run, path = self.generator.run, workload.GET_TASK
        return self._measured(lambda: run(server.address, callers, self.distinct, path), server)

    def _direct(self, threads: int) -> Load:
        command = [str(machine.TASKGATE_PYTHON), "-m", "benchmarks.peers.direct"]
        options = {
            "--upstream": self.upstream,
            "--threads": str(threads),
            "--warmup": str(self.generator.warmup),
            "--seconds": str(self.generator.seconds),
        }
        words = [word for pair in options.items() for word in pair]
        done = subprocess.run(  # noqa: S603  # made here
            [*machine.pinned(SERVER_CORE), *command, *words],
            cwd=machine.ROOT,
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
        return read(done.stdout)

    def _server(self, peer: str, *, shared: bool) -> Process:
        key = "taskgate-shared" if peer == "taskgate" and shared else peer
        if key not in self._servers:
            self._servers[key] = self._stack.enter_context(self._start(key))
        return self._servers[key]

    def _start(self, key: str) -> AbstractContextManager[Process]:
        if key.startswith("taskgate"):
            settings = {} if key == "taskgate-shared" else UNSHARED
            return machine.taskgate(self.upstream, self.home / f"{key}.log", settings)
        python = {"web": WEB_PYTHON, "aio": AIO_PYTHON}.get(key, machine.TASKGATE_PYTHON)
        return machine.peer(key, self.upstream, python)


@contextmanager
def bench(warmup: float, seconds: float) -> Iterator[Bench]:
    """Start all processes that runs need; stop them at the end."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generator = Generator(build(home), warmup, seconds)
        upstream = stack.enter_context(machine.stub())
        yield Bench(stack, generator, upstream.address, home)
