"""The state of a parent itself: when a run, a job or a step has ended, and how.

The server's only definition; the contract documents it at `ParentStatus`. Each AWS service declares
its kinds of parents as `ParentKind`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskgate.v1 import task_pb2
from taskgate_server.tasks.durations import to_timestamp
from taskgate_server.tasks.names import Parent
from taskgate_server.tasks.states import SETTLED, State, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentState:
    """The state of a parent, as AWS reported it at one time."""

    name: str
    state: State
    native_state: str
    """The AWS value that `state` follows from."""
    lifecycle_status: str | None = None
    ended: bool
    """Whether AWS starts none of its tasks until a caller acts."""
    final: bool
    """Whether it has ended for good: tasks that have not settled by now never will."""
    failure_reason: str | None = None
    status_message: str | None = None
    observe_time: float
    """When AWS sent the response, in seconds since 1970."""

    def settles(self, *, all_settled: bool) -> bool:
        """Return whether nothing changes until a caller acts.

        Args:
            all_settled: whether all tasks of the parent have settled.
        """
        return self.final or (self.ended and all_settled)

    def to_message(self) -> task_pb2.ParentStatus:
        """Return the state as a message of the contract."""
        return task_pb2.ParentStatus(
            name=self.name,
            state=self.state,
            native_state=self.native_state,
            lifecycle_status=self.lifecycle_status,
            ended=self.ended,
            failure_reason=self.failure_reason,
            status_message=self.status_message,
            observe_time=to_timestamp(self.observe_time),
        )


def unending(name: str, now: float) -> ParentState:
    """Return the state of a parent that does not end itself, such as a queue.

    Args:
        name: of the parent.
        now: in seconds since 1970.
    """
    return ParentState(
        name=name,
        state=task_pb2.TASK_STATE_UNSPECIFIED,
        native_state="",
        ended=True,
        final=False,
        observe_time=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentKind:
    """How one kind of parent reports its state."""

    operation: str
    """The AWS operation that reads one."""
    status: str
    """The member of the response that has the status."""
    states: Mapping[str, State] = field(repr=False)
    """The known values of the status, and what they mean."""
    failure_reason: str = ""
    """The member that says why it failed; empty if there is none."""
    status_message: str = ""
    """The member with a message about the status; empty if there is none."""

    def params(self, parent: Parent) -> Mapping[str, Any]:
        """Return the parameters of `operation` for a parent."""
        return parent.params

    def read(self, name: str, response: Mapping[str, Any], observe_time: float) -> ParentState:
        """Return the state that a response of AWS reports.

        Args:
            name: of the parent.
            response: of `operation`.
            observe_time: when AWS sent it, in seconds since 1970.
        """
        native = response.get(self.status)
        state = state_of(native, self.states)
        return ParentState(
            name=name,
            state=state,
            native_state=native or "",
            ended=state in SETTLED,
            final=state in SETTLED,
            failure_reason=response.get(self.failure_reason),
            status_message=response.get(self.status_message),
            observe_time=observe_time,
        )
