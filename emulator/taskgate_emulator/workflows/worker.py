"""The process that computes readings: pickled `Reading`s in, pickled `Result`s out."""

from __future__ import annotations

import os
import pickle
import sys
from typing import BinaryIO

from taskgate_emulator.workflows.reading import compute

__all__ = ["serve"]


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Compute readings until the source ends, which it does with the emulator's process."""
    while True:
        try:
            reading = pickle.load(source)  # noqa: S301 of the process that started this one
        except EOFError:
            return
        pickle.dump(compute(reading), target)
        target.flush()


if __name__ == "__main__":
    os.nice(5)  # requests that are served meanwhile are more urgent
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
