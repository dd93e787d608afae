"""Runs a module in a child process, so that its crash or hang does not affect the server."""

from __future__ import annotations

import subprocess
import sys


class ChildError(Exception):
    """The child ended without a result.

    Args:
        message: what happened: `was killed after 5 s`.
        status: its exit status, or the negative number of the signal that ended it; None after a
            timeout.
    """

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


def run_module(module: str, data: bytes, *, seconds: float) -> bytes:
    """Run a module as `python -m` with `data` as its input; return its output. Blocks.

    The module is killed after `seconds`.

    Raises:
        ChildError: it crashed, failed or was killed.
        OSError: it cannot be started, for instance for lack of memory.
    """
    # -P: nothing is imported from the working directory. The standard error is discarded, since it
    # may quote the input.
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
