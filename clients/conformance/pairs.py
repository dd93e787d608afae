"""Pairs of a write and a read: whether the read shows the write, whichever replica serves it.

`python -m conformance.pairs LANGUAGE... --pairs 300` makes so many pairs with the client of each
language, through a proxy that calls three servers in turn. They share nothing, and cache responses
for a minute, so that a read that does not depend on the write before it would be stale.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from conformance.relay import Relay
from conformance.runners import LANGUAGES, Runner
from conformance.world import World
from taskgate_emulator import Emulator, ManualClock
from tests.support.polling import wait_until
from tests.support.ports import free_ports
from tests.support.server_process import LoggedServer, is_serving, server_environment

REPLICAS: Final = 3
SETTINGS: Final = {"DEFAULT_MAX_AGE_SECONDS": "60"}
CLIENTS: Final = 3
"""Processes that call at the same time, each with its own client and task."""
FORGET_EVERY: Final = 1000
"""Pairs of a client after which the calls that the relay has recorded are deleted."""

CALLS_PER_STREAM: Final = 5
"""Reads of each other kind for each watch or wait."""

Command: TypeAlias = Mapping[str, Any]
Read: TypeAlias = tuple[Sequence[Command], Callable[[Any], str]]
"""The commands of a read, and how to find the state in the last outcome."""


@dataclass(frozen=True, slots=True)
class Task:
    """The only task of a job."""

    job: str
    name: str

    def writes(self) -> Iterator[tuple[Command, str]]:
        """Yield writes without end, each with the state of the task afterwards."""
        name = self.name
        suspensions: Iterator[Command] = itertools.cycle(
            (
                {"do": "suspend_task", "name": name},
                {"do": "suspend_natively", "name": name},
                {"do": "batch_update_tasks", "updates": {name: "SUSPEND"}},
            )
        )
        retries: Iterator[Command] = itertools.cycle(
            (
                {"do": "retry_task", "name": name},
                {"do": "batch_update_tasks", "updates": {name: "RETRY"}},
            )
        )
        while True:
            yield next(suspensions), "SUSPENDED"
            yield next(retries), "PENDING"

    def reads(self) -> Iterator[Read]:
        """Yield reads of every kind without end."""
        get = {"do": "get_task", "name": self.name}
        calls: list[Read] = [
            ([get], lambda ok: ok["state"]),
            ([{"do": "list_tasks", "parent": self.job}], lambda ok: ok["tasks"][0]["state"]),
            ([get | {"max_age": 60}], lambda ok: ok["state"]),
            ([{"do": "batch_get_tasks", "names": [self.name]}], lambda ok: ok[0]["state"]),
            ([{"do": "summarize_tasks", "parent": self.job}], lambda ok: next(iter(ok["states"]))),
            ([{"do": "get_natively", "name": self.name}], lambda ok: ok["run_status"]),
            ([get | {"view": "BASIC"}], lambda ok: ok["state"]),
        ]
        # The poller of a watch makes at most five calls a second. A wait for either state ends at
        # once, with the old one if it is stale.
        streams: list[Read] = [
            ([{"do": "watch", "parent": self.job}, {"do": "next"}], _state_in_snapshot),
            ([{"do": "watch", "names": [self.name]}, {"do": "next"}], _state_in_snapshot),
            (
                [{"do": "wait_task", "name": self.name, "states": ["PENDING", "SUSPENDED"]}],
                lambda ok: ok["task"]["state"],
            ),
        ]
        while True:
            for stream in streams:
                yield from calls * CALLS_PER_STREAM
                yield stream


def _state_in_snapshot(ok: Any) -> str:
    state: str = ok["tasks"][0]["state"]
    return state


@dataclass(frozen=True, slots=True)
class Replicas:
    """The servers, and the proxy in front of them."""

    aws: Emulator
    relay: Relay

    def add_task(self) -> Task:
        """Return the task of a new job."""
        ids = self.aws.jobs.add([1]).task(0)
        job = "deadline/farms/{farmId}/queues/{queueId}/jobs/{jobId}".format_map(ids)
        return Task(job, job + "/steps/{stepId}/tasks/{taskId}".format_map(ids))


@contextmanager
def running_replicas() -> Iterator[Replicas]:
    """Run the servers and the proxy."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        aws = stack.enter_context(Emulator(clock=ManualClock()))  # tasks do not progress
        addresses = []
        for port in free_ports(REPLICAS):
            environment = server_environment(aws, **SETTINGS, LISTEN_PORT=str(port))
            environment |= World.CREDENTIALS
            server = LoggedServer(folder / str(port), environment)
            stack.callback(server.close)
            addresses.append(f"127.0.0.1:{port}")
        for address in addresses:
            wait_until(partial(is_serving, address))
        yield Replicas(aws, stack.enter_context(Relay(*addresses)))


def make_pairs(language: str, count: int, replicas: Replicas) -> Counter[str]:
    """Make pairs with one client.

    Returns:
        How often there was which outcome, as `judge` describes it.
    """
    task, outcomes = replicas.add_task(), Counter[str]()
    with Runner(LANGUAGES[language]) as runner:
        runner.run({"do": "connect", "address": replicas.relay.address})
        writes, reads = task.writes(), task.reads()
        for number in range(1, count + 1):
            write, expected = next(writes)
            commands, state_of = next(reads)
            written = runner.run(write)
            *_, read = [runner.run(command) for command in commands]
            outcomes[judge(written, read, expected, state_of, (write, commands))] += 1
            if number % FORGET_EVERY == 0:
                replicas.relay.reset()
    return outcomes


def judge(
    written: Any, read: Any, expected: str, state_of: Callable[[Any], str], commands: object
) -> str:
    """Return `fresh`, or how the read was stale or a call failed."""
    if "ok" not in written or "ok" not in read:
        return f"failed: {commands} {written} {read}"
    state = state_of(read["ok"])
    return "fresh" if state == expected else f"stale: {commands}: {state} instead of {expected}"


def run_language(language: str, pairs: int, clients: int) -> bool:
    """Make pairs with the client of a language, print the figures, and return whether all pass."""
    shares = [pairs // clients + (index < pairs % clients) for index in range(clients)]
    with running_replicas() as replicas, ThreadPoolExecutor(clients) as threads:
        began = time.monotonic()
        parts = threads.map(lambda share: make_pairs(language, share, replicas), shares)
        outcomes = sum(parts, Counter[str]())
        seconds = time.monotonic() - began
    stale = sum(count for outcome, count in outcomes.items() if outcome.startswith("stale"))
    failed = sum(count for outcome, count in outcomes.items() if outcome.startswith("failed"))
    lines = [
        f"{language}: {pairs} pairs over {REPLICAS} replicas, {stale} stale, {failed} failed,"
        f" {pairs / seconds:.0f}/s"
    ]
    del outcomes["fresh"]
    lines += [f"  {count} times {outcome}" for outcome, count in outcomes.most_common(10)]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return not stale and not failed


def main() -> int:
    """Return the exit status: 1 if a read was stale or a call failed."""
    parser = argparse.ArgumentParser(prog="conformance.pairs", description=__doc__)
    parser.add_argument("languages", nargs="*", choices=[[], *LANGUAGES], metavar="LANGUAGE")
    parser.add_argument("--pairs", type=int, default=300, help="for each language")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="at the same time")
    arguments = parser.parse_args()
    passed = [
        run_language(language, arguments.pairs, arguments.clients)
        for language in arguments.languages or LANGUAGES
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
