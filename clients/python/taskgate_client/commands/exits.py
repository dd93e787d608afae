"""What the exit code of a command says."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of all commands; docs/cli.md has them as a table."""

    OK = 0
    """Done; the task that was waited for or watched has succeeded."""
    FAILURE = 1
    """It failed, and stderr says why."""
    USAGE = 2
    """The command line is wrong."""
    TASK_FAILED = 3
    """A task that was waited for or watched has failed."""
    TASK_STOPPED = 4
    """None has failed, but one is cancelled, suspended or blocked."""
    NOT_FOUND = 5
    """AWS has no such task or parent, or has it no longer."""
    TIME_UP = 124
    """The time limit has passed; `timeout` of coreutils says it by the same code."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count SIGINT."""
    PIPE_CLOSED = 141
    """Whoever read the output has gone, as shells count SIGPIPE."""
