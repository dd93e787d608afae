"""Runs a module in a child process: for work whose crash or hang must not be the server's."""

from __future__ import annotations

import subprocess
import sys


class ChildError(Exception):
    """The child ended without a result.

    Args:
        message: what happened, such as that it crashed.
        status: its exit status, or the negative of the number of the signal that ended it; None if
            it ran out of time.
    """

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


def run_module(module: str, data: bytes, *, seconds: float) -> bytes:
    """Run a module as `python -m` and return what it writes to its standard output. Blocks.

    Args:
        module: its full name.
        data: for its standard input.
        seconds: after which it is killed.

    Raises:
        ChildError: it crashed, failed or ran out of time.
        OSError: it cannot be started, for instance since there is no memory for another process.
    """
    # -P: nothing is imported from the working directory. Errors of a child may quote its input:
    # they are not read.
    command = [sys.executable, "-P", "-m", module]
    try:
        done = subprocess.run(  # noqa: S603  # our own module
            command, input=data, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ChildError(f"was killed after {seconds:g} s", None) from None
    if done.returncode < 0:
        raise ChildError(f"was ended by signal {-done.returncode}", done.returncode)
    if done.returncode:
        raise ChildError(f"failed with exit status {done.returncode}", done.returncode)
    return done.stdout
