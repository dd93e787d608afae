"""What the exit code of a command says."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskgate.v1 import task_pb2


class Exit(IntEnum):
    """The exit codes of all commands; docs/cli.md has them as a table."""

    OK = 0
    """Done; the task that was waited for or watched has succeeded."""
    FAILURE = 1
    """It failed, and stderr says why."""
    USAGE = 2
    """The command line is wrong."""
    TASK_FAILED = 3
    """A task has failed, or its run or job itself."""
    TASK_STOPPED = 4
    """None has failed, but one is cancelled, suspended or blocked, or can never settle."""
    NOT_FOUND = 5
    """AWS has no such task or parent, or has it no longer."""
    TIME_UP = 124
    """The time limit has passed; `timeout` of coreutils says it by the same code."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count SIGINT."""
    PIPE_CLOSED = 141
    """Whoever read the output has gone, as shells count SIGPIPE."""


def exit_of_states(states: Iterable[int], parent: task_pb2.ParentStatus | None = None) -> Exit:
    """Return the exit code for the states in which tasks have ended, and their parent itself.

    Args:
        states: of the tasks.
        parent: the ended parent, if it is known. Its own state counts like that of a task: a run
            can fail without a task, or after all of its tasks have succeeded.
    """
    from taskgate.v1 import task_pb2  # noqa: PLC0415  # `--help` has to be quick

    ends = {*states, *([parent.state] if parent is not None else [])}
    ends -= {task_pb2.TASK_STATE_SUCCEEDED}
    if task_pb2.TASK_STATE_FAILED in ends:
        return Exit.TASK_FAILED
    return Exit.TASK_STOPPED if ends else Exit.OK


def exit_of_counts(counts: task_pb2.TaskCounts, parent: task_pb2.ParentStatus | None) -> Exit:
    """Return the exit code for counted tasks that have ended; arguments as of `exit_of_states`."""
    return exit_of_states((each.state for each in counts.states if each.count), parent)
