"""Faults by rule: which calls go wrong, how, and for how long.

A rule is data, from a file or from a test; `Faults` decides for each call. What a fault does to the
answer is in `temper.py`, what it does to the connection in `server.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from taskgate_emulator.core.documents import read_document, reject_unknown_keys

__all__ = ["KINDS", "Fault", "Faults", "load_faults"]

KINDS: Mapping[str, str] = {
    "throttle": "429 ThrottlingException; `seconds` is its Retry-After",
    "quota": "402 ServiceQuotaExceededException",
    "internal": "500, the code that the service's model has for it",
    "unavailable": "503 ServiceUnavailable, without a body that the model knows",
    "latency": "the answer comes `seconds` later",
    "hang": "no answer comes, and the connection stays",
    "reset": "the connection is reset before any answer",
    "cut": "the connection ends in the middle of the body",
    "garbage": "200 and a body that is not JSON",
    "unknown_enum": "every word of an enum is one that the model does not have",
    "unknown_union": "every union has a member that the model does not have",
    "clock_skew": "AWS's clock is `seconds` ahead: requests signed with another time are refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A rule. All that it says must hold for a call to go wrong."""

    kind: str
    """One of `KINDS`."""
    service: str = "*"
    operation: str = "*"
    """A glob, such as `Get*`."""
    probability: float = 1.0
    nth: int | None = None
    """Only the nth call that the rule is about, counted from 1."""
    every: int | None = None
    """Only each so-manieth call."""
    times: int | None = None
    """After so many faults the rule is over."""
    after: float = 0.0
    """Seconds of the clock from when the rule was set."""
    lasts: float | None = None
    """Seconds of the clock; without it the rule does not end by itself."""
    seconds: float = 1.0
    """For kinds that have a time in them."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; there are {', '.join(KINDS)}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError("probability must be from 0 to 1")
        for name in ("nth", "every", "times"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1")


def load_faults(choice: str | Path | Iterable[Fault]) -> list[Fault]:
    """The rules that a user asks for.

    Args:
        choice: rules, or a file with a list of tables `fault`, whose keys are those of `Fault`.

    Raises:
        ValueError: a rule that cannot be; the message says which.
    """
    if not isinstance(choice, (str, Path)):
        return list(choice)
    document = read_document(Path(choice))
    reject_unknown_keys(str(choice), document, ["fault"])
    known = [each.name for each in fields(Fault)]
    rules = []
    for position, table in enumerate(document.get("fault", ()), start=1):
        where = f"{choice}: fault {position}"
        reject_unknown_keys(where, table, known)
        try:
            rules.append(Fault(**table))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
    return rules


@dataclass(slots=True)
class _Rule:
    fault: Fault
    start: datetime
    calls: int = 0
    faults: int = 0


class Faults:
    """The rules that hold now. Tests set them from their own thread while calls are served.

    Args:
        random: decides what has a probability.
        now: the emulator's time.
    """

    def __init__(self, random: Random, now: Any) -> None:
        self._mutex = Lock()
        self._random = random
        self._now = now
        self._rules: list[_Rule] = []

    def add(self, fault: Fault | None = None, **rule: Any) -> Fault:
        """Set a rule, given as a `Fault` or by its fields; earlier rules go first."""
        made = fault or Fault(**rule)
        with self._mutex:
            self._rules.append(_Rule(made, self._now()))
        return made

    def remove(self, fault: Fault) -> None:
        """Take a rule back."""
        with self._mutex:
            self._rules = [rule for rule in self._rules if rule.fault is not fault]

    def clear(self) -> None:
        """Take every rule back."""
        with self._mutex:
            self._rules.clear()

    def choose(self, service: str, operation: str) -> Fault | None:
        """What goes wrong with this call, if anything does."""
        if not self._rules:
            return None
        with self._mutex:
            now = self._now()
            for rule in self._rules:
                if _concerns(rule.fault, service, operation) and self._strikes(rule, now):
                    return rule.fault
        return None

    def _strikes(self, rule: _Rule, now: datetime) -> bool:
        fault = rule.fault
        elapsed = (now - rule.start).total_seconds() - fault.after
        if elapsed < 0 or (fault.lasts is not None and elapsed >= fault.lasts):
            return False
        rule.calls += 1
        if fault.times is not None and rule.faults >= fault.times:
            return False
        if fault.nth is not None and rule.calls != fault.nth:
            return False
        if fault.every is not None and rule.calls % fault.every:
            return False
        if fault.probability < 1.0 and self._random.random() >= fault.probability:
            return False
        rule.faults += 1
        return True


def _concerns(fault: Fault, service: str, operation: str) -> bool:
    return fnmatchcase(service, fault.service) and fnmatchcase(operation, fault.operation)
