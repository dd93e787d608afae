"""What the peers without a server share: their arguments, and the report, like that of `load.c`."""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import workload


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line of such a peer."""

    upstream: str
    callers: int
    warmup: float
    seconds: float


def arguments(description: str | None) -> Arguments:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--callers", type=int, required=True)
    parser.add_argument("--warmup", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    return Arguments(**vars(parser.parse_args()))


class Calls:
    """The calls of all callers: their parameters, how long they took, and when to stop."""

    def __init__(self, given: Arguments) -> None:
        self._seconds = given.seconds
        self._begin = time.monotonic() + given.warmup
        self._end = self._begin + given.seconds
        self._cpu = time.process_time()
        self._numbers = itertools.count()
        self._total = itertools.count()
        self._latencies: list[float] = []

    def until_end(self) -> Iterator[dict[str, str]]:
        """Yield the parameters of one call after the other, and record how long each takes."""
        while (sent := time.monotonic()) < self._end:
            yield workload.task_params(next(self._numbers) % workload.DISTINCT_TASKS)
            next(self._total)
            if self._begin <= (now := time.monotonic()) < self._end:
                self._latencies.append(now - sent)

    def print_report(self) -> None:
        """Print what `load.c` prints, and the CPU time."""
        ordered = sorted(self._latencies)
        report = {
            "answered": len(ordered),
            "total": next(self._total),
            "seconds": self._seconds,
            "refused": {},
            "lost": 0,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
            "cpu_seconds": time.process_time() - self._cpu,
        }
        print(json.dumps(report))  # noqa: T201  # for the parent
