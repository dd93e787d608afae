"""All that an emulator is made of but the network: account, dispatcher, what tests hold on to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import taskgate_emulator.deadline.jobs
import taskgate_emulator.deadline.reactions
import taskgate_emulator.deadline.search
import taskgate_emulator.deadline.session_reads
import taskgate_emulator.deadline.updates  # noqa: F401 registers its operations
from taskgate_emulator.core.clock import Clock, system_clock
from taskgate_emulator.core.dispatch import Dispatcher
from taskgate_emulator.core.fault_injection import FaultInjector
from taskgate_emulator.core.faults import Fault, Faults, load_faults
from taskgate_emulator.core.journal import Journal, StateFileError
from taskgate_emulator.core.moto_services import MotoServices, operation_of
from taskgate_emulator.core.observation import CannedResponses, RecordedRequest, Recorder
from taskgate_emulator.core.quotas import Limiter, load_quotas
from taskgate_emulator.core.state import Account
from taskgate_emulator.deadline import behaviour as deadline
from taskgate_emulator.omics import batches as omics_batches
from taskgate_emulator.omics import behaviour as omics
from taskgate_emulator.seeds.file import load_seed_file
from taskgate_emulator.seeds.ids import seed_demo

__all__ = ["Registry", "Settings"]

_MAX_RECORDED_REQUESTS = 1_000
_REGISTRIES = (deadline.OPERATIONS, omics.OPERATIONS)
_REGISTERED = (omics_batches,)
"""The modules that register the rest, each with those that it imports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an emulator is told at its start; `Emulator` says what each means."""

    clock: Clock = system_clock
    speed: float = 1.0
    random: Random | None = None
    seed: str | Path = "demo"
    quotas: str | Path | Mapping[str, Any] = "off"
    faults: str | Path | Iterable[Fault] = ()
    state: str | Path | None = None


class Registry:
    """One emulated AWS.

    Args:
        settings: how it is.

    Raises:
        ValueError: a setting that cannot be.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.speed <= 0:
            raise ValueError("speed must be more than 0: work only goes forward")
        self._journal = _open(settings.state)
        starts = self._journal.starts if self._journal else 0
        # Ids need to differ, not to be unguessable: a fixed seed makes every start alike, and the
        # next start with the same file makes others.
        random = settings.random or Random(starts)  # noqa: S311
        self.account = Account(clock=settings.clock, speed=settings.speed, random=random)
        self.recorder = Recorder(_MAX_RECORDED_REQUESTS)
        self.canned = CannedResponses()
        for registry in _REGISTRIES:
            registry.attach(self.account)
        self.limiter = Limiter(load_quotas(settings.quotas))
        self.account.admit = self.limiter.admit_resource
        self.account.admit_number = self.limiter.admit_number
        # Its own chance: a fault must not change the ids that come after it.
        self.faults = Faults(Random(starts), settings.clock)  # noqa: S311 not for secrets
        self.moto_services = MotoServices(self.account, self.faults)
        fault_injector = FaultInjector(self.limiter, self.faults, system_clock)
        self.dispatcher = Dispatcher(
            self.account, _REGISTRIES, self.recorder, self.canned, fault_injector
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
            seed_demo(self.account)
        elif seed != "empty":
            load_seed_file(Path(seed), self.dispatcher, lambda: seed_demo(self.account))
            self.recorder.clear()

    def record_moto_request(
        self, service: str, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Keep a request to one of the other services, for tests to see."""
        raw_path, _, query = target.partition("?")
        self.recorder.add(
            RecordedRequest(
                method=method,
                raw_path=raw_path,
                query=query,
                headers=headers,
                body=body,
                service=service,
                operation=operation_of(headers, body),
            )
        )

    def close(self) -> None:
        """Keep what has changed, and let go of the file."""
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
