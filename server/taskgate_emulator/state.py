"""What the emulated AWS account holds.

Records are plain mappings in botocore's output form; what changes by itself is a `Timeline`.
Everything is in memory, and belongs to the thread of the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from taskgate_emulator.clock import Clock
from taskgate_emulator.timeline import Timeline

__all__ = ["Account", "Farm", "Job", "Queue", "Run", "Step"]

Record = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Step:
    """A step of a Deadline job, with its tasks."""

    record: Record
    tasks: dict[str, Timeline] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    """Ids of the steps of the same job whose tasks must succeed first."""


@dataclass(slots=True, kw_only=True)
class Job:
    """A Deadline job."""

    record: Record
    steps: dict[str, Step] = field(default_factory=dict)
    """In the order of the template: a step depends on earlier ones only."""


@dataclass(slots=True, kw_only=True)
class Queue:
    """A queue of a farm."""

    record: Record
    jobs: dict[str, Job] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Farm:
    """A Deadline farm."""

    record: Record
    queues: dict[str, Queue] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Run:
    """A HealthOmics workflow run, with its tasks."""

    timeline: Timeline
    tasks: dict[str, Timeline] = field(default_factory=dict)
    """A task is there from its `creationTime` on; a retry is a task of its own."""


@dataclass(slots=True, kw_only=True)
class Account:
    """One AWS account in one region, and the time and chance that govern it."""

    clock: Clock
    random: Random
    speed: float
    """How many seconds of work are done in one second of the clock."""
    farms: dict[str, Farm] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
