"""How slow this machine is, for budgets of CPU time.

The budgets hold on a machine that does the work below in `REFERENCE_SECONDS`. Virtual machines of
one kind differ by a third, and with them all times.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Final

REFERENCE_SECONDS: Final = 0.0123
MAX_FACTOR: Final = 2.0
"""A machine that is slower than this cannot judge budgets."""
ROUNDS: Final = 7


@cache
def slowness() -> float:
    """Return by how much this machine is slower, at least 1: a faster one has the same budgets."""
    seconds = min(_work() for _ in range(ROUNDS))
    return min(max(seconds / REFERENCE_SECONDS, 1.0), MAX_FACTOR)


def _work() -> float:
    """Return the CPU seconds of some work like that of the server: objects, texts and JSON."""
    began = time.process_time()
    rows = [
        {"id": f"task-{number:032x}", "state": "RUNNING", "n": number} for number in range(4000)
    ]
    text = json.dumps(rows)
    found = {row["id"]: row for row in json.loads(text)}
    assert len(found) == len(rows)
    assert sum(len(str(row["id"]).partition("-")[2]) for row in rows) == 32 * len(rows)
    return time.process_time() - began
