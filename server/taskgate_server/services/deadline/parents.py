"""The states of jobs and steps, which have a lifecycle status besides the task run status.

Sources: the waiters `JobCreateComplete` and `JobComplete` of botocore, and the description of
`UpdateJob`, by which an archived job cannot be scheduled any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from taskgate.v1 import task_pb2
from taskgate_server.tasks.parent_state import ParentKind, ParentState
from taskgate_server.tasks.states import SETTLED, state_of

STATUS: Final = "lifecycleStatus"
MESSAGE: Final = "lifecycleStatusMessage"

FAILED: Final = frozenset({"CREATE_FAILED", "UPLOAD_FAILED"})
"""AWS has created no tasks, or not all of them, and never will."""
CLOSED: Final = frozenset({"ARCHIVED"})
"""AWS schedules no task any more."""
IN_PROGRESS: Final = frozenset({"CREATE_IN_PROGRESS", "UPLOAD_IN_PROGRESS", "UPDATE_IN_PROGRESS"})
"""AWS may add tasks."""
NEUTRAL: Final = frozenset({"CREATE_COMPLETE", "UPDATE_FAILED", "UPDATE_SUCCEEDED"})
"""The task run status alone decides, as it does for a value that this version does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleKind(ParentKind):
    """A kind of parent with a lifecycle status."""

    def read(self, name: str, response: Mapping[str, Any], observe_time: float) -> ParentState:
        """See `ParentKind.read`."""
        native, stage = response.get(self.status), response.get(STATUS)
        state = state_of(native, self.states)
        ended, final = state in SETTLED and stage not in IN_PROGRESS, False
        decides = native is None
        if stage in FAILED:
            state, ended, final, decides = task_pb2.TASK_STATE_FAILED, True, True, True
        elif stage in CLOSED:
            decides = state not in SETTLED
            state = task_pb2.TASK_STATE_CANCELLED if decides else state
            ended, final = True, True
        elif decides and stage in IN_PROGRESS:
            state = task_pb2.TASK_STATE_PENDING
        return ParentState(
            name=name,
            state=state,
            native_state=(stage if decides else native) or "",
            lifecycle_status=stage,
            ended=ended,
            final=final,
            status_message=response.get(MESSAGE) if decides else None,
            observe_time=observe_time,
        )
