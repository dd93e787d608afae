"""The demo of a fresh emulator: a render farm at work and a genome being sequenced.

Ids are fixed, so that documentation can quote them. History happened before the emulator started;
the rest progresses in the first minutes and then settles. `deadline.py` and `omics.py` describe
what each id shows.
"""

from __future__ import annotations

from taskgate_emulator.core.state import Account
from taskgate_emulator.seeds.deadline import (
    CANCELED_TASK_ID,
    COMPOSITE_STEP_ID,
    EVERY_PARAMETER_TASK_ID,
    FAILED_TASK_ID,
    FARM_ID,
    FLAKY_TASK_ID,
    FLEET_ID,
    GREAT_NUMBERS_TASK_ID,
    JOB_ID,
    PENDING_TASK_ID,
    QUEUE_ID,
    RENDER_STEP_ID,
    RETRIED_TASK_ID,
    RUNNING_TASK_ID,
    SIMULATE_STEP_ID,
    SUSPENDED_TASK_ID,
    seed_deadline,
)
from taskgate_emulator.seeds.omics import (
    CACHE_HIT_TASK_ID,
    CPU_TASK_ID,
    ENDED_RUN_ID,
    FAILED_RUN_TASK_ID,
    GPU_TASK_ID,
    LATER_TASK_ID,
    PENDING_RUN_TASK_ID,
    RUN_ID,
    seed_omics,
)
from taskgate_emulator.seeds.workflow import WORKFLOW_ID

__all__ = [
    "CACHE_HIT_TASK_ID",
    "CANCELED_TASK_ID",
    "COMPOSITE_STEP_ID",
    "CPU_TASK_ID",
    "ENDED_RUN_ID",
    "EVERY_PARAMETER_TASK_ID",
    "FAILED_RUN_TASK_ID",
    "FAILED_TASK_ID",
    "FARM_ID",
    "FLAKY_TASK_ID",
    "FLEET_ID",
    "GPU_TASK_ID",
    "GREAT_NUMBERS_TASK_ID",
    "JOB_ID",
    "LATER_TASK_ID",
    "PENDING_RUN_TASK_ID",
    "PENDING_TASK_ID",
    "QUEUE_ID",
    "RENDER_STEP_ID",
    "RETRIED_TASK_ID",
    "RUNNING_TASK_ID",
    "RUN_ID",
    "SIMULATE_STEP_ID",
    "SUSPENDED_TASK_ID",
    "WORKFLOW_ID",
    "seed_demo",
]


def seed_demo(account: Account) -> None:
    """Load the demo into an account."""
    # The clock stands still meanwhile, so that all times of the demo are relative to one time.
    now, clock = account.clock(), account.clock
    account.clock = lambda: now
    with account.loading_history():
        seed_deadline(account)
        seed_omics(account)
        account.advance(now)
    account.clock = clock
