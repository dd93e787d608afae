"""The registry of what the emulator can do: a behaviour for each operation it has.

A behaviour gets a `Call` whose params are complete and valid, and gives the answer as a mapping in
botocore's output form, or raises `AwsError`. Paths, parsing, checks and writing are not its
business; they come from the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskgate_emulator.state import Account
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

    def register(self, name: str) -> Callable[[Behaviour], Behaviour]:
        """Declare the decorated function to be what the operation does."""

        def keep(behaviour: Behaviour) -> Behaviour:
            if name in self._behaviours:
                raise ValueError(f"{self.service} has two behaviours for {name}")
            self._behaviours[name] = behaviour
            return behaviour

        return keep

    def behaviour(self, name: str) -> Behaviour | None:
        """What the operation does, if the emulator has it."""
        return self._behaviours.get(name)

    @property
    def names(self) -> frozenset[str]:
        """The operations that the emulator has."""
        return frozenset(self._behaviours)
