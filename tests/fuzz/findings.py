"""Failures by kind, each with cases to make it again, and a limit on how long a case takes."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from tests.support.seeds import SEED, VOLUME, seeded

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "2000")) * VOLUME
ANSWERS = int(os.environ.get("FUZZ_ANSWERS", "1000")) * VOLUME

ONE_IN_WIRE = 20
"""One case of this many is asked over the real wire; the others in process."""

CASE_SECONDS = 5.0
CASES_KEPT = 3
CASE_CHARACTERS = 1_500


class TooSlowError(BaseException):
    """A case did not end in time. No Exception: no code under test may take it for its own."""


def random_of(kind: str, index: int) -> Random:
    """The source of a case, so that it can be made again without those before it."""
    return seeded(kind, index)


def shortened(value: object, limit: int = CASE_CHARACTERS) -> str:
    """For messages: the beginning, and how long the whole is."""
    # A slice first: the repr of 10 MB takes longer than the case.
    if isinstance(value, bytes | str) and len(value) > limit:
        return f"{value[:limit]!r}... ({len(value)} in all)"
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} in all)"


@contextmanager
def bounded() -> Iterator[None]:
    """Ends what takes too long, whether or not it would end by itself."""

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
    """What came of many cases."""

    title: str
    counts: Counter[str] = field(default_factory=Counter)
    """How the cases ended."""
    failures: Counter[str] = field(default_factory=Counter)
    cases: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    started: float = field(default_factory=time.monotonic)
    slowest: tuple[float, str] = (0.0, "")

    def fail(self, kind: str, case: str) -> None:
        """Counts a failure; the first cases of each kind are kept."""
        self.failures[kind] += 1
        if len(self.cases[kind]) < CASES_KEPT:
            self.cases[kind].append(case)

    def took(self, seconds: float, case: str) -> None:
        """Keeps the slowest case."""
        if seconds > self.slowest[0]:
            self.slowest = seconds, case

    def report(self) -> str:
        """Everything, for the test's output."""
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
