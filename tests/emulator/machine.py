"""What the state machines of both services share: an emulator, its clock, and calls to it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.core.dispatch import HttpRequest
from taskgate_emulator.core.state import Account


class Machine(RuleBasedStateMachine):
    """Calls the dispatcher directly, without a network: hypothesis needs thousands of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.emulator = Emulator(clock=self.clock, random=Random(1))  # noqa: S311  # ids are no secrets
        self.account: Account = self.emulator.edit(lambda account: account)

    def call(self, method: str, path: str, body: Any = None, query: str = "") -> dict[str, Any]:
        """Return the response of a call; conflicts are allowed, as calls come in any order."""
        response = self.emulator._registry.dispatcher.handle(
            HttpRequest(
                method=method,
                raw_path=path,
                query=query,
                headers={"Authorization": "any"},
                body=json.dumps(body).encode() if body is not None else b"",
            )
        )
        assert response.status in {200, 201, 202, 204, 409}, response.body
        result: dict[str, Any] = json.loads(response.body or b"{}")
        return result
