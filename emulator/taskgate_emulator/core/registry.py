"""Everything an emulator consists of except the network: account, dispatcher, quotas and faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from typing import Any

import taskgate_emulator.deadline.jobs
import taskgate_emulator.deadline.reactions
import taskgate_emulator.deadline.search
import taskgate_emulator.deadline.updates
import taskgate_emulator.omics.batches  # noqa: F401 these modules register operations and listeners
from taskgate_emulator.core.clock import Clock, system_clock
from taskgate_emulator.core.dispatch import Dispatcher
from taskgate_emulator.core.fault_injection import FaultInjector
from taskgate_emulator.core.faults import Fault, Faults, load_faults
from taskgate_emulator.core.journal import Journal, StateFileError
from taskgate_emulator.core.moto_services import MotoServices
from taskgate_emulator.core.observation import CannedResponses, Recorder
from taskgate_emulator.core.quotas import Limiter, load_quotas
from taskgate_emulator.core.state import Account
from taskgate_emulator.deadline import behaviour as deadline
from taskgate_emulator.omics import behaviour as omics
from taskgate_emulator.seeds.deadline import seed_deadline
from taskgate_emulator.seeds.file import load_seed_file
from taskgate_emulator.seeds.omics import seed_omics

__all__ = ["Registry", "Settings"]

_MAX_RECORDED_REQUESTS = 1_000
PLUGINS = "taskgate_emulator.services"
"""The group of entry points of plug-ins: modules with `OPERATIONS` and the function `seed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an emulator; `Emulator` documents them."""

    clock: Clock = system_clock
    speed: float = 1.0
    random: Random | None = None
    seed: str | Path = "demo"
    quotas: str | Path | Mapping[str, Any] = "off"
    faults: str | Path | Iterable[Fault] = ()
    state: str | Path | None = None


class Registry:
    """One emulated AWS: its account, its services, and what tests observe and inject.

    Raises:
        ValueError: a setting is invalid.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.speed <= 0:
            raise ValueError("speed must be greater than 0")
        self._journal = _open(settings.state)
        starts = self._journal.starts if self._journal else 0
        # Ids must differ, not be unguessable. A fixed seed makes every start alike, and the next
        # start with the same state file generates other ids.
        random = settings.random or Random(starts)  # noqa: S311
        self.account = Account(clock=settings.clock, speed=settings.speed, random=random)
        self.recorder = Recorder(_MAX_RECORDED_REQUESTS)
        self.canned = CannedResponses()
        plugins = [each.load() for each in sorted(entry_points(group=PLUGINS))]
        services = [deadline.OPERATIONS, omics.OPERATIONS, *(each.OPERATIONS for each in plugins)]
        self._seeds: list[Callable[[Account], None]] = [
            *(seed_deadline, seed_omics),
            *(each.seed for each in plugins),
        ]
        for service in services:
            service.attach(self.account)
        self.limiter = Limiter(load_quotas(settings.quotas))
        self.account.admit = self.limiter.admit_resource
        self.account.admit_number = self.limiter.admit_number
        # A separate source: a fault must not change the ids that are generated after it.
        self.faults = Faults(Random(starts), settings.clock)  # noqa: S311 not for secrets
        self.moto_services = MotoServices(self.account, self.faults)
        fault_injector = FaultInjector(self.limiter, self.faults, system_clock)
        self.dispatcher = Dispatcher(
            self.account, services, self.recorder, self.canned, fault_injector
        )
        if self._journal is not None:
            self._journal.restore(self.account)
            self.account.save_with(self._journal.save)
        if not starts:
            self._load_seed(settings.seed)
        for fault in load_faults(settings.faults):
            self.faults.add(fault)
        self.account.settle()

    def _load_seed(self, seed: str | Path) -> None:
        if seed == "demo":
            self._load_demo()
        elif seed != "empty":
            load_seed_file(Path(seed), self.dispatcher, self._load_demo)
            self.recorder.clear()

    def _load_demo(self) -> None:
        # The clock stands still meanwhile, so that all times of the demo are relative to one time.
        account = self.account
        now, clock = account.clock(), account.clock
        account.clock = lambda: now
        with account.loading_history():
            for seed in self._seeds:
                seed(account)
            account.advance(now)
        account.clock = clock

    def close(self) -> None:
        """Save all changes and close the state file."""
        if self._journal is not None:
            self.account.save()
            self._journal.close()


def _open(state: str | Path | None) -> Journal | None:
    if state is None:
        return None
    try:
        return Journal(Path(state))
    except StateFileError as error:
        raise ValueError(str(error)) from error
