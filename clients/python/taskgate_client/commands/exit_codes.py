"""Exit codes of the commands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskgate.v1 import task_pb2


class ExitCode(IntEnum):
    """The exit codes of all commands; docs/cli.md lists them."""

    OK = 0
    """Success; the task that was waited for or watched has succeeded."""
    FAILURE = 1
    """The command failed; stderr has the reason."""
    USAGE = 2
    """The command line is invalid."""
    TASK_FAILED = 3
    """A task, or its run or job, has failed."""
    TASK_STOPPED = 4
    """No task has failed, but one is cancelled, suspended or blocked, or can never settle."""
    NOT_FOUND = 5
    """The task or parent does not exist."""
    TIMED_OUT = 124
    """The timeout has passed; the same code as that of `timeout` in coreutils."""
    INTERRUPTED = 130
    """Ctrl-C; 128 + SIGINT, as in shells."""
    PIPE_CLOSED = 141
    """The reader of the output has exited; 128 + SIGPIPE, as in shells."""


def exit_code_of_states(
    states: Iterable[int], parent: task_pb2.ParentStatus | None = None
) -> ExitCode:
    """Return the exit code for the final states of tasks and of their parent.

    Args:
        states: of the tasks.
        parent: the ended parent, if known. Its state counts like that of a task: a run can fail
            without a task, or after all of its tasks have succeeded. A queue has no state.
    """
    from taskgate.v1 import task_pb2  # noqa: PLC0415  # `--help` has to be fast

    unsuccessful = {*states, *([parent.state] if parent is not None else [])}
    unsuccessful -= {task_pb2.TASK_STATE_SUCCEEDED, task_pb2.TASK_STATE_UNSPECIFIED}
    if task_pb2.TASK_STATE_FAILED in unsuccessful:
        return ExitCode.TASK_FAILED
    return ExitCode.TASK_STOPPED if unsuccessful else ExitCode.OK


def exit_code_of_counts(
    counts: task_pb2.TaskCounts, parent: task_pb2.ParentStatus | None
) -> ExitCode:
    """Return the exit code for counted tasks; see `exit_code_of_states`."""
    return exit_code_of_states((each.state for each in counts.states if each.count), parent)
