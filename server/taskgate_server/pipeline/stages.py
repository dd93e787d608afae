"""The stages of every call, in order: cheap checks first.

Before authentication nothing costs more than constant time and memory. The message is read after
the rate limits, and parsed within bounds before the policy decides about what it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskgate_server.pipeline.audit import Audit
from taskgate_server.pipeline.authentication import Authentication
from taskgate_server.pipeline.authorization import (
    AuthorizeAction,
    AuthorizeResources,
    KnownRequests,
    NameResources,
)
from taskgate_server.pipeline.caller_limits import LimitCallers
from taskgate_server.pipeline.metadata import ReadMetadata
from taskgate_server.pipeline.observation import Observation
from taskgate_server.pipeline.pipeline import Stage
from taskgate_server.pipeline.reception import Reception

if TYPE_CHECKING:
    from taskgate_server.auth.guard import Guard


def list_stages(observation: Observation, guard: Guard | None, reception: Reception) -> list[Stage]:
    """Return the stages.

    Args:
        observation: counts, traces and logs each call.
        guard: knows callers, limits and policy; None without any, on loopback only.
        reception: reads requests.
    """
    decisions = guard.decisions if guard is not None else None
    known = KnownRequests(decisions) if decisions is not None else None
    stages: list[Stage | None] = [
        observation,
        Audit(),  # its line is written when the call has ended
        Authentication(guard.callers) if guard else None,
        LimitCallers(guard.limits) if guard else None,
        ReadMetadata(),
        AuthorizeAction(decisions) if decisions else None,
        reception,
        NameResources(known),
        AuthorizeResources(decisions, known, guard.lifetimes)
        if guard and decisions and known
        else None,
    ]
    return [stage for stage in stages if stage is not None]
