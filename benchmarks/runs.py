"""Measures one run: a peer in a scenario, once."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, workload
from benchmarks.load import Generator, Load, build, read
from benchmarks.machine import ROOT, SERVER_CORE, BenchError, Process
from benchmarks.scenarios import PEERS, Peer, Scenario
from benchmarks.servers import Servers

SPARSE_ROUNDS = 3
"""Peers for information run in every third round: they would take most of the time."""
MAX_FAILURES = 2
"""Of a peer in a scenario; then it has no further turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One peer in one scenario, once."""

    load: Load
    aws_calls: float
    """For each 1,000 RPCs."""
    cpu_us: float
    """CPU time of the peer's process for one RPC."""


class Bench:
    """The upstream stub, the generator and the servers."""

    def __init__(self, stack: ExitStack, generator: Generator, upstream: str, home: Path) -> None:
        self._servers = Servers(stack)
        self.generator = generator
        self.upstream = upstream
        self.home = home
        numbers = range(workload.DISTINCT_TASKS)
        write = workload.write_records
        self.distinct = write(home / "distinct", numbers, workload.grpc_record)
        self._same = write(home / "same", [1], workload.grpc_record)
        self._distinct_http = write(home / "distinct-http", numbers, workload.http_record)

    def run(self, scenario: Scenario, name: str) -> Run:
        """Run a scenario once with a peer.

        Raises:
            BenchError: the peer does not start, or breaks its connections.
        """
        peer = PEERS[name]
        if peer.direct:
            return self._measured(scenario, lambda: self._call_directly(peer), None)
        if not peer.module:
            return self.run_taskgate(scenario, name, ROOT)
        server = self._servers.get(
            name, lambda: machine.peer(peer.module, self.upstream, peer.python)
        )
        with self._stopped_if_broken(name):
            return self.load(scenario, server, http=peer.http)

    def run_taskgate(self, scenario: Scenario, name: str, checkout: Path) -> Run:
        """Run a scenario once with the server of a checkout, which `name` distinguishes.

        Raises:
            BenchError: the server does not start, or breaks its connections.
        """
        # A server for each set of settings.
        name = f"{name}-same" if scenario.same_task else name

        def start() -> AbstractContextManager[Process]:
            log = self.home / f"{name}.log"
            return machine.taskgate(self.upstream, log, scenario.settings, checkout)

        server = self._servers.get(name, start)
        with self._stopped_if_broken(name):
            return self.load(scenario, server)

    @contextmanager
    def _stopped_if_broken(self, name: str) -> Iterator[None]:
        """Stop a server whose run fails, so that the next scenario has another one."""
        try:
            yield
        except BenchError:
            self._servers.stop(name)
            raise

    def load(self, scenario: Scenario, server: Process, *, http: bool = False) -> Run:
        """Run a scenario once with any server.

        Raises:
            BenchError: the server breaks its connections.
        """
        requests = self._same if scenario.same_task else self.distinct
        if http:
            requests = self._distinct_http
        return self._measured(
            scenario,
            lambda: self.generator.run(
                server.address, scenario.callers, requests, workload.GET_TASK, http=http
            ),
            server,
        )

    def _measured(
        self, scenario: Scenario, load: Callable[[], Load], server: Process | None
    ) -> Run:
        machine.query_stub(self.upstream, f"reset?latency_ms={scenario.latency_ms}")
        before = server.cpu_seconds if server else 0.0
        seen = load()
        cpu = server.cpu_seconds - before if server else seen.cpu_seconds
        calls = sum(machine.query_stub(self.upstream, "counts").values())
        total = max(1, seen.total)
        return Run(load=seen, aws_calls=1000 * calls / total, cpu_us=1e6 * cpu / total)

    def _call_directly(self, peer: Peer) -> Load:
        options = {
            "--upstream": self.upstream,
            "--callers": str(peer.direct),
            "--warmup": str(self.generator.warmup),
            "--seconds": str(self.generator.seconds),
        }
        words = [word for pair in options.items() for word in pair]
        command = [str(peer.python), "-m", f"benchmarks.peers.{peer.module}", *words]
        return read(machine.run_load(command, SERVER_CORE, machine.peer_environment()))


@contextmanager
def bench(warmup: float, seconds: float) -> Iterator[Bench]:
    """Start what all runs need; stop all processes at the end."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generator = Generator(build(home), warmup, seconds)
        upstream = stack.enter_context(machine.stub())
        yield Bench(stack, generator, upstream.address, home)


def take_turns(
    rounds: int,
    peers: Mapping[str, Callable[[], Run]],
    *,
    sparse: frozenset[str] = frozenset(),
    failed: Callable[[str, BenchError], None],
) -> dict[str, dict[int, Run]]:
    """Run peers in turn; return the runs of each by round.

    Args:
        rounds: how many.
        peers: runs a peer once.
        sparse: the peers that run in every third round only.
        failed: called with a peer that failed.
    """
    runs: dict[str, dict[int, Run]] = {peer: {} for peer in peers}
    failures: Counter[str] = Counter()
    for number in range(rounds):
        # In reverse order every second time, so that no peer always runs after the same one.
        for peer in peers if number % 2 == 0 else reversed(list(peers)):
            if failures[peer] == MAX_FAILURES or (peer in sparse and number % SPARSE_ROUNDS):
                continue
            try:
                runs[peer][number] = peers[peer]()
            except BenchError as error:
                failures[peer] += 1
                failed(peer, error)
    return runs
