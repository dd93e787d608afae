"""A record and its scheduled changes: the data of the simulation.

It is plain data, so a file can hold the whole future of an account. The account applies changes in
the order of their times; a write replaces those that are not due yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

__all__ = ["CHANGE_TIME", "Change", "Plan", "Timeline", "planned"]

CHANGE_TIME = object()
"""In a plan, stands for the time of the change."""

Plan = Iterable[tuple[float, Mapping[str, Any]]]
"""Changes to schedule: seconds from the start of the plan, and the members that change.

A member that becomes None is absent from then on.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """New values of some members at a time."""

    at: datetime
    members: Mapping[str, Any]
    timer: str | None = None
    """The handler to call after the members have changed; see `Operations.on_timer`."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A record and its scheduled changes."""

    record: Mapping[str, Any]
    """The members before the first change."""
    changes: tuple[Change, ...] = ()
    """In the order of their times."""


def planned(start: datetime, speed: float, plan: Plan) -> tuple[Change, ...]:
    """Return the changes of a plan that starts at a time.

    Args:
        start: second 0 of the plan.
        speed: seconds of the plan per second; it does not apply to negative seconds, the past.
        plan: the changes, in any order.
    """
    changes = []
    for seconds, members in sorted(plan, key=lambda step: step[0]):
        at = start + timedelta(seconds=seconds / speed if seconds > 0 else seconds)
        resolved = {name: at if value is CHANGE_TIME else value for name, value in members.items()}
        changes.append(Change(at, resolved))
    return tuple(changes)
