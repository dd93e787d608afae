"""Counts the outcomes and failures of fuzz cases, and limits the duration of a case."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from tests.support.seeds import SEED, VOLUME, examples, seeded

REQUESTS = int(os.environ.get("FUZZ_REQUESTS") or examples(2000)) * VOLUME
RESPONSES = int(os.environ.get("FUZZ_RESPONSES") or examples(1000)) * VOLUME

ONE_IN_WIRE = 20
"""One case in this many runs over the real wire, the others in process."""

CASE_SECONDS = 5.0
MAX_CASES = 3
CASE_CHARACTERS = 1_500


class TooSlowError(BaseException):
    """A case exceeded its time limit; code under test must not catch it."""


def random_for(kind: str, index: int) -> Random:
    """Return the random source of a case, so that it can be repeated alone."""
    return seeded(kind, index)


def shortened(value: object, limit: int = CASE_CHARACTERS) -> str:
    """Return the beginning of a value's repr and its length."""
    # A slice first: the repr of 10 MB takes longer than the case.
    if isinstance(value, bytes | str) and len(value) > limit:
        return f"{value[:limit]!r}... ({len(value)} in all)"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} in all)"


@contextmanager
def time_limit() -> Iterator[None]:
    """Interrupt a case that exceeds its time limit."""

    def stop(*_: object) -> None:
        raise TooSlowError(f"took longer than {CASE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, CASE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(slots=True)
class Findings:
    """The outcomes of many cases."""

    title: str
    counts: Counter[str] = field(default_factory=Counter)
    """By outcome."""
    failures: Counter[str] = field(default_factory=Counter)
    cases: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    started: float = field(default_factory=time.monotonic)
    slowest: tuple[float, str] = (0.0, "")

    def fail(self, kind: str, case: str) -> None:
        """Count a failure; the first cases of each kind are kept."""
        self.failures[kind] += 1
        if len(self.cases[kind]) < MAX_CASES:
            self.cases[kind].append(case)

    def record_duration(self, seconds: float, case: str) -> None:
        """Record the slowest case."""
        if seconds > self.slowest[0]:
            self.slowest = seconds, case

    def report(self) -> str:
        """Return a summary for the test's output."""
        seconds, case = self.slowest
        lines = [
            f"{self.title}: {sum(self.counts.values())} cases in"
            f" {time.monotonic() - self.started:.1f} s, SEED={SEED}",
            *(f"  {count:7} {outcome}" for outcome, count in self.counts.most_common()),
            f"  slowest: {seconds:.2f} s, {case}",
        ]
        for kind, count in self.failures.most_common():
            lines += [
                f"FAILED {count} times: {kind}",
                *(f"    {each}" for each in self.cases[kind]),
            ]
        return "\n".join(lines)
