"""All that an emulator is made of but the network: account, dispatcher, what tests hold on to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from taskgate_emulator import deadline_search, omics
from taskgate_emulator.clock import Clock, system_clock
from taskgate_emulator.dispatch import Dispatcher
from taskgate_emulator.journal import Journal, StateFileError
from taskgate_emulator.observation import CannedAnswers, Recorder
from taskgate_emulator.seed import seed_demo
from taskgate_emulator.state import Account

__all__ = ["Settings", "World"]

_REQUESTS_KEPT = 1_000
_REGISTRIES = (deadline_search.OPERATIONS, omics.OPERATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an emulator is told at its start; `Emulator` says what each means."""

    clock: Clock = system_clock
    speed: float = 1.0
    random: Random | None = None
    seed: str | Path = "demo"
    state: str | Path | None = None


class World:
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
        self.recorder = Recorder(_REQUESTS_KEPT)
        self.canned = CannedAnswers()
        for registry in _REGISTRIES:
            registry.attach(self.account)
        self.dispatcher = Dispatcher(self.account, _REGISTRIES, self.recorder, self.canned)
        if self._journal is not None:
            self._journal.restore(self.account)
            self.account.save_with(self._journal.save)
        if not starts:
            _sow(self.account, settings.seed)
        self.account.settle()

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


def _sow(account: Account, seed: str | Path) -> None:
    if seed == "demo":
        seed_demo(account)
    elif seed != "empty":
        raise ValueError(f"there is no seed {seed}: it is demo, empty or a file")
