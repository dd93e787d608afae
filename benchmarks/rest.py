"""Memory and threads of Taskgate at rest: started with its defaults, ready, and not called."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import Figure

SETTLE_SECONDS = 3.0
"""After both AWS services are ready; then nothing is left to load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A server at rest, by the kernel's account."""

    rss_mib: Figure
    threads: Figure


def measure(upstream: str, home: Path, rounds: int, checkout: Path = machine.ROOT) -> Rest:
    """Start a server of a checkout several times; return its memory and threads.

    Raises:
        BenchError: it does not start.
    """
    seen = []
    for _ in range(rounds):
        with machine.taskgate(upstream, home / "rest.log", checkout=checkout) as server:
            time.sleep(SETTLE_SECONDS)
            seen.append((server.memory_kib("VmRSS") / 1024, server.threads))
    return Rest(
        rss_mib=Figure.of(mib for mib, _ in seen), threads=Figure.of(count for _, count in seen)
    )
