"""A record and what will come to it: the data that the simulation runs on.

A timeline is a record and the changes that will come to it, each at its moment. It is plain data,
so that the whole future of an account can be kept in a file. The account applies the changes in
the order of their moments; a write puts other changes in place of those that have not come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

__all__ = ["CHANGE_TIME", "Change", "Plan", "Timeline", "planned"]

CHANGE_TIME = object()
"""In a plan, stands for the moment at which the change comes."""

Plan = Iterable[tuple[float, Mapping[str, Any]]]
"""Changes to come: seconds from the start of the plan, and the members that change.

A member that becomes None is absent from then on.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """Members that get other values at a moment."""

    at: datetime
    members: Mapping[str, Any]
    timer: str | None = None
    """The handler that is called once the members have changed; see `Operations.on_wake`."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A record through time."""

    record: Mapping[str, Any]
    """The members before the first change."""
    changes: tuple[Change, ...] = ()
    """In the order of their moments."""

    def at(self, now: datetime) -> dict[str, Any]:
        """The record at a moment; the change of that very moment has come."""
        record = dict(self.record)
        for change in self.changes:
            if change.at > now:
                break
            record.update(change.members)
        return record

    def value(self, member: str, now: datetime) -> Any:
        """One member at a moment, without folding the others."""
        value = self.record.get(member)
        for change in self.changes:
            if change.at > now:
                break
            value = change.members.get(member, value)
        return value

    def rewritten(self, now: datetime, changes: Iterable[Change]) -> Timeline:
        """The timeline that keeps what has come by now, and has other changes after it."""
        return Timeline(self.at(now), tuple(changes))

    @property
    def last_change(self) -> datetime | None:
        """The moment after which nothing changes by itself; None when nothing ever does."""
        return self.changes[-1].at if self.changes else None


def planned(start: datetime, speed: float, plan: Plan) -> tuple[Change, ...]:
    """The changes of a plan that starts at a moment.

    Args:
        start: second 0 of the plan.
        speed: how many seconds of the plan pass in one second. The past, seconds below 0, has
            happened at its own pace already.
        plan: the changes, in any order.
    """
    changes = []
    for seconds, members in sorted(plan, key=lambda step: step[0]):
        at = start + timedelta(seconds=seconds / speed if seconds > 0 else seconds)
        resolved = {name: at if value is CHANGE_TIME else value for name, value in members.items()}
        changes.append(Change(at, resolved))
    return tuple(changes)
