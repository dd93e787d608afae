"""The latest outcomes of calls to one AWS service: the evidence about whether it responds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

PROMPT_SECONDS: Final = 1.0
"""A response within this time shows that the service works as usual. Later ones may be what is left
of an outage."""


@dataclass(slots=True)
class Outcomes:
    """Times are monotonic seconds; -inf for never."""

    failures: int = 0
    """Calls without a usable response since the last usable one."""
    responded_at: float = -math.inf
    """When the last usable response came."""
    prompt_at: float = -math.inf
    """When the last one came that was prompt."""

    def failed(self) -> None:
        """Note a call that failed as in an outage, or whose response was not awaited."""
        self.failures += 1

    def answered(self, now: float, seconds: float) -> None:
        """Note a usable response, also an error that is about the call, after so many seconds."""
        self.failures = 0
        self.responded_at = now
        if seconds <= PROMPT_SECONDS:
            self.prompt_at = now
