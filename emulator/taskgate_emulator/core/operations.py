"""The registry of one service's behaviours: one function for each hand-written operation.

A behaviour gets a `Call` with complete, valid params. It returns a mapping in botocore's output
form, or raises `AwsError`. Routing, parsing, validation and serialization come from the model.
Effects without a call are listeners (a row changed) and timer handlers (a scheduled time came).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskgate_emulator.core.state import Account, Index, Listener, TimerHandler
from taskgate_server.aws.model import OperationModel

__all__ = ["Behaviour", "Call", "Computation", "FindComputation", "Operations", "error_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one operation."""

    account: Account
    operation: OperationModel
    params: Mapping[str, Any]
    now: datetime
    """The time at which the whole call happens."""


def error_names(operation: OperationModel) -> frozenset[str]:
    """Return the codes of the errors that the model of an operation lists."""
    return frozenset(shape.name for shape in operation.error_shapes)


Behaviour = Callable[[Call], Mapping[str, Any]]
Preparation = Callable[[Call], Call]
Computation = Callable[[], None]
"""Computes what a call needs, in a thread, before the call happens; it changes no state."""
FindComputation = Callable[[Account, Mapping[str, Any]], Computation | None]
"""Returns the computation for params, or None if there is nothing to compute."""


class Operations:
    """The behaviours of one AWS service.

    Args:
        service: its name in botocore.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self._behaviours: dict[str, Behaviour] = {}
        self._preparations: dict[str, Preparation] = {}
        self._computations: dict[str, FindComputation] = {}
        self._listeners: list[tuple[str, Listener, bool]] = []
        self._indexes: list[tuple[tuple[str, ...], Callable[[], Index]]] = []
        self._timers: dict[str, TimerHandler] = {}

    def register(self, name: str) -> Callable[[Behaviour], Behaviour]:
        """Decorate the function that implements an operation."""

        def add(behaviour: Behaviour) -> Behaviour:
            if name in self._behaviours:
                raise ValueError(f"{self.service} has two behaviours for {name}")
            self._behaviours[name] = behaviour
            return behaviour

        return add

    def prepare(self, *names: str) -> Callable[[Preparation], Preparation]:
        """Decorate a function that changes calls of some operations before their behaviour."""

        def add(preparation: Preparation) -> Preparation:
            self._preparations.update(dict.fromkeys(names, preparation))
            return preparation

        return add

    def compute_before(self, *names: str) -> Callable[[FindComputation], FindComputation]:
        """Decorate a function that returns what to compute before calls of some operations."""

        def add(find: FindComputation) -> FindComputation:
            self._computations.update(dict.fromkeys(names, find))
            return find

        return add

    def on_change(self, kind: str, *, history: bool = False) -> Callable[[Listener], Listener]:
        """Decorate a function that is called for each change of the rows of a kind.

        It runs at the simulated time of the change, and may write rows, events and log lines.

        Args:
            kind: of the rows.
            history: also call it for changes older than the account.
        """

        def add(listener: Listener) -> Listener:
            self._listeners.append((kind, listener, history))
            return listener

        return add

    def index(self, make: Callable[[], Index], *kinds: str) -> None:
        """Add an index of the rows of some kinds to each account; `Account.index` returns it."""
        self._indexes.append((kinds, make))

    def on_timer(self, name: str) -> Callable[[TimerHandler], TimerHandler]:
        """Decorate the function that a `Change` with this `timer` calls."""

        def add(handler: TimerHandler) -> TimerHandler:
            if name in self._timers:
                raise ValueError(f"{self.service} has two timers {name}")
            self._timers[name] = handler
            return handler

        return add

    def attach(self, account: Account) -> None:
        """Add the indexes, listeners and timers of this service to an account."""
        for kinds, make in self._indexes:
            account.add_index(make(), *kinds)
        for kind, listener, history in self._listeners:
            account.listen(kind, listener, history=history)
        for name, handler in self._timers.items():
            account.on_timer(name, handler)

    def behaviour(self, name: str) -> Behaviour | None:
        """Return the behaviour of an operation, if it is hand-written."""
        behaviour, preparation = self._behaviours.get(name), self._preparations.get(name)
        if behaviour is None or preparation is None:
            return behaviour
        return lambda call: behaviour(preparation(call))

    def computation(
        self, name: str, account: Account, params: Mapping[str, Any]
    ) -> Computation | None:
        """Return what to compute before a call of an operation, or None."""
        find = self._computations.get(name)
        return None if find is None else find(account, params)

    def has_computation(self, name: str) -> bool:
        """Return whether there may be something to compute before calls of an operation."""
        return name in self._computations

    @property
    def names(self) -> frozenset[str]:
        """The operations that have a behaviour."""
        return frozenset(self._behaviours)
