"""The registry of what the emulator can do: a behaviour for each operation it has.

A behaviour gets a `Call` whose params are complete and valid, and gives the answer as a mapping in
botocore's output form, or raises `AwsError`. Paths, parsing, checks and writing are not its
business; they come from the model. What happens without a call is a listener (something changed)
or a wake (its moment has come).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskgate_emulator.core.state import Account, Index, Listener, TimerHandler
from taskgate_server.aws.model import OperationModel

__all__ = ["Behaviour", "Call", "Operations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one operation."""

    account: Account
    operation: OperationModel
    params: Mapping[str, Any]
    now: datetime
    """The one moment at which the whole call happens."""


Behaviour = Callable[[Call], Mapping[str, Any]]


class Operations:
    """The behaviours of one AWS service.

    Args:
        service: its name in botocore.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._behaviours: dict[str, Behaviour] = {}
        self._listeners: list[tuple[str, Listener, bool]] = []
        self._indexes: list[tuple[str, Callable[[], Index]]] = []
        self._timers: dict[str, TimerHandler] = {}

    def register(self, name: str) -> Callable[[Behaviour], Behaviour]:
        """Declare the decorated function to be what the operation does."""

        def keep(behaviour: Behaviour) -> Behaviour:
            if name in self._behaviours:
                raise ValueError(f"{self.service} has two behaviours for {name}")
            self._behaviours[name] = behaviour
            return behaviour

        return keep

    def on_change(self, kind: str, *, history: bool = False) -> Callable[[Listener], Listener]:
        """Declare the decorated function to be told of each change of the rows of a kind.

        It runs at the simulated moment of the change, and may write rows, events and log lines.

        Args:
            kind: of the rows.
            history: whether it is also told of what is older than the account.
        """

        def keep(listener: Listener) -> Listener:
            self._listeners.append((kind, listener, history))
            return listener

        return keep

    def index(self, kind: str, make: Callable[[], Index]) -> None:
        """Keep an index of the rows of a kind in each account; `Account.index` gives it."""
        self._indexes.append((kind, make))

    def on_timer(self, name: str) -> Callable[[TimerHandler], TimerHandler]:
        """Declare the decorated function to be what a `Change` with this `wake` calls."""

        def keep(timer: TimerHandler) -> TimerHandler:
            if name in self._timers:
                raise ValueError(f"{self.service} has two wakes {name}")
            self._timers[name] = timer
            return timer

        return keep

    def attach(self, account: Account) -> None:
        """Let the listeners and wakes of this service work on an account."""
        for kind, make in self._indexes:
            account.add_index(kind, make())
        for kind, listener, history in self._listeners:
            account.listen(kind, listener, history=history)
        for name, timer in self._timers.items():
            account.on_timer(name, timer)

    def behaviour(self, name: str) -> Behaviour | None:
        """What the operation does, if the emulator has it."""
        return self._behaviours.get(name)

    @property
    def names(self) -> frozenset[str]:
        """The operations that the emulator has."""
        return frozenset(self._behaviours)
