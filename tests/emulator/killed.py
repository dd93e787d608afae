"""An emulator with a state file in a process that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_PROGRAM = """
import sys
from taskgate_emulator import Emulator
with Emulator(state=sys.argv[1], speed=float(sys.argv[2])) as aws:
    print(aws.endpoint_url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def killed_emulator(state: Path, *, speed: float = 1.0) -> Iterator[Any]:
    """Yield its URL, as `connect` expects it; SIGKILL follows at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(state), str(speed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield SimpleNamespace(endpoint_url=process.stdout.readline().strip())
        finally:
            process.send_signal(signal.SIGKILL)
