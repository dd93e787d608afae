"""Everything an emulator consists of except the network: regions, quotas and faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from typing import Any

import taskgate_emulator.deadline.credentials
import taskgate_emulator.deadline.jobs
import taskgate_emulator.deadline.reactions
import taskgate_emulator.deadline.search
import taskgate_emulator.deadline.updates
import taskgate_emulator.omics.batches
import taskgate_emulator.omics.definition_uri
import taskgate_emulator.omics.stored_files  # noqa: F401 these modules register operations and listeners
from taskgate_emulator.core.clock import Clock, system_clock
from taskgate_emulator.core.dispatch import Dispatcher
from taskgate_emulator.core.fault_injection import FaultInjector
from taskgate_emulator.core.faults import Fault, Faults, load_faults
from taskgate_emulator.core.journal import Journal, StateFileError
from taskgate_emulator.core.moto_services import Moto, MotoServices
from taskgate_emulator.core.observation import CannedResponses, Recorder
from taskgate_emulator.core.operations import Operations
from taskgate_emulator.core.quotas import Limiter, load_quotas
from taskgate_emulator.core.state import ACCOUNT_ID, REGION, Account
from taskgate_emulator.deadline import behaviour as deadline
from taskgate_emulator.omics import behaviour as omics
from taskgate_emulator.seeds.deadline import seed_deadline
from taskgate_emulator.seeds.file import load_seed_file
from taskgate_emulator.seeds.omics import seed_omics

__all__ = ["Region", "Registry", "Settings"]

_MAX_RECORDED_REQUESTS = 1_000
_REGION_NAME = re.compile(r"[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}")
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
    region: str = REGION


class Region:
    """One region of the emulated AWS: its account, its services and its state file.

    Args:
        name: AWS's name of the region.
        settings: of the emulator.
        shared: what all regions share.

    Raises:
        ValueError: a setting is invalid.
    """

    def __init__(self, name: str, settings: Settings, shared: Shared) -> None:
        is_default = name == settings.region
        # The file has the default region; each other one has a file beside it.
        state = settings.state
        self._journal = _open(state if is_default or state is None else f"{state}.{name}")
        starts = self._journal.starts if self._journal else 0
        # Ids must differ, not be unguessable. A fixed seed makes every start alike, and the next
        # start with the same state file generates other ids.
        default = Random(starts) if is_default else Random(f"{starts} {name}")  # noqa: S311
        random = settings.random if settings.random and is_default else default
        self.account = Account(
            clock=settings.clock, speed=settings.speed, random=random, region=name
        )
        for service in shared.services:
            service.attach(self.account)
        self.limiter = Limiter(load_quotas(settings.quotas))
        self.account.admit = self.limiter.admit_resource
        self.account.admit_number = self.limiter.admit_number
        self.moto_services = MotoServices(self.account, shared.faults, shared.moto)
        self.account.objects = self.moto_services
        fault_injector = FaultInjector(self.limiter, shared.faults, system_clock)
        self.dispatcher = Dispatcher(
            self.account, shared.services, shared.recorder, shared.canned, fault_injector
        )
        if self._journal is not None:
            self._journal.restore(self.account)
            self.account.save_with(self._journal.save)
        if is_default and not starts:
            self._load_seed(settings.seed, shared)
        self.account.settle()

    def close(self) -> None:
        """Save all changes and close the state file."""
        if self._journal is not None:
            self.account.save()
            self._journal.close()

    def _load_seed(self, seed: str | Path, shared: Shared) -> None:
        def load_demo() -> None:
            # The clock stands still, so that all times of the demo are relative to one time.
            account = self.account
            now, clock = account.clock(), account.clock
            account.clock = lambda: now
            with account.loading_history():
                for each in shared.seeds:
                    each(account)
                account.advance(now)
            account.clock = clock

        if seed == "demo":
            load_demo()
        elif seed != "empty":
            load_seed_file(Path(seed), self.dispatcher, load_demo)
            shared.recorder.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all regions of an emulator share."""

    services: Sequence[Operations]
    seeds: Sequence[Callable[[Account], None]]
    recorder: Recorder
    canned: CannedResponses
    faults: Faults
    moto: Moto


class Registry:
    """One emulated AWS: its regions, and what tests observe and inject.

    A region exists from its first request on. Only the default region has the seed.

    Raises:
        ValueError: a setting is invalid.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.speed <= 0:
            raise ValueError("speed must be greater than 0")
        if not _REGION_NAME.fullmatch(settings.region):
            raise ValueError(f"{settings.region!r} is not the name of a region of AWS")
        self._settings = settings
        self.recorder = Recorder(_MAX_RECORDED_REQUESTS)
        self.canned = CannedResponses()
        # A separate source: a fault must not change the ids that are generated after it.
        self.faults = Faults(Random(0), settings.clock)  # noqa: S311 not for secrets
        plugins = [each.load() for each in sorted(entry_points(group=PLUGINS))]
        self._shared = Shared(
            services=(deadline.OPERATIONS, omics.OPERATIONS, *(p.OPERATIONS for p in plugins)),
            seeds=(seed_deadline, seed_omics, *(p.seed for p in plugins)),
            recorder=self.recorder,
            canned=self.canned,
            faults=self.faults,
            moto=Moto(ACCOUNT_ID),
        )
        self.default = Region(settings.region, settings, self._shared)
        self._regions = {settings.region: self.default}
        for fault in load_faults(settings.faults):
            self.faults.add(fault)

    @property
    def account(self) -> Account:
        """The account of the default region."""
        return self.default.account

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher of the default region."""
        return self.default.dispatcher

    @property
    def regions(self) -> list[Region]:
        """The regions that have had a request."""
        return list(self._regions.values())

    def region(self, name: str | None) -> Region:
        """Return a region; anything but a region's name stands for the default."""
        if name is None or not _REGION_NAME.fullmatch(name):
            return self.default
        known = self._regions.get(name)
        if known is None:
            known = self._regions[name] = Region(name, self._settings, self._shared)
        return known

    def close(self) -> None:
        """Save all changes and close the state files."""
        for region in self.regions:
            region.close()


def _open(state: str | Path | None) -> Journal | None:
    if state is None:
        return None
    try:
        return Journal(Path(state))
    except StateFileError as error:
        raise ValueError(str(error)) from error
