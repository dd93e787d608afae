"""Fault rules: which calls fail, how, and for how long.

A rule is data, from a file or a test; `Faults` decides for each call. `fault_injection.py` applies
faults to responses, `server.py` to connections.
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
    "latency": "the response is delayed by `seconds`",
    "hang": "no response is sent, and the connection stays open",
    "reset": "the connection is reset before the response",
    "cut": "the connection is closed in the middle of the body",
    "garbage": "200 and a body that is not JSON",
    "unknown_enum": "every enum value is unknown to the model",
    "unknown_union": "every union has a member unknown to the model",
    "clock_skew": "AWS's clock is `seconds` ahead, so it rejects signatures with the real time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A rule. A call fails when all its conditions hold."""

    kind: str
    """One of `KINDS`."""
    service: str = "*"
    operation: str = "*"
    """A glob, such as `Get*`."""
    probability: float = 1.0
    nth: int | None = None
    """Only the nth matching call, counted from 1."""
    every: int | None = None
    """Only every nth matching call."""
    times: int | None = None
    """The maximum number of faults."""
    after: float = 0.0
    """Seconds from when the rule was added until it applies."""
    lasts: float | None = None
    """Seconds for which it applies; without it the rule does not expire."""
    seconds: float = 1.0
    """The time parameter of the kind, see `KINDS`."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault kind {self.kind!r}; use one of {', '.join(KINDS)}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError("probability must be from 0 to 1")
        for name in ("nth", "every", "times"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1")


def load_faults(choice: str | Path | Iterable[Fault]) -> list[Fault]:
    """Return the rules of a setting.

    Args:
        choice: rules, or a file with a list of tables `fault`, whose keys are those of `Fault`.

    Raises:
        ValueError: a rule is invalid; the message says which.
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
    """The current rules. Tests change them from their own thread while calls are served.

    Args:
        random: decides rules with a probability.
        now: returns the emulator's time.
    """

    def __init__(self, random: Random, now: Any) -> None:
        self._mutex = Lock()
        self._random = random
        self._now = now
        self._rules: list[_Rule] = []

    def add(self, fault: Fault | None = None, **rule: Any) -> Fault:
        """Add a rule, given as a `Fault` or by its fields; earlier rules take precedence."""
        added = fault or Fault(**rule)
        with self._mutex:
            self._rules.append(_Rule(added, self._now()))
        return added

    def remove(self, fault: Fault) -> None:
        """Remove a rule."""
        with self._mutex:
            self._rules = [rule for rule in self._rules if rule.fault is not fault]

    def clear(self) -> None:
        """Remove all rules."""
        with self._mutex:
            self._rules.clear()

    def choose(self, service: str, operation: str) -> Fault | None:
        """Return the fault that applies to a call, if any."""
        if not self._rules:
            return None
        with self._mutex:
            now = self._now()
            for rule in self._rules:
                if _matches(rule.fault, service, operation) and self._applies_now(rule, now):
                    return rule.fault
        return None

    def _applies_now(self, rule: _Rule, now: datetime) -> bool:
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


def _matches(fault: Fault, service: str, operation: str) -> bool:
    return fnmatchcase(service, fault.service) and fnmatchcase(operation, fault.operation)
