"""The demo of a fresh emulator: a render farm at work and a genome being sequenced.

Ids are fixed, so that documentation can quote them. History happened before the emulator started;
the rest progresses in the first minutes and then settles. `deadline.py` and `omics.py` describe
what each id shows.
"""

from __future__ import annotations

FARM_ID = "farm-3f1c5a7e9b2d4068a1c3e5f708192a3b"
QUEUE_ID = "queue-7d2e4f60819a3b5c7d9e0f1a2b3c4d5e"
FLEET_ID = "fleet-9c1d2e3f405162738495a6b7c8d9eaf0"
"""Eight workers, which run whatever is requeued."""
JOB_ID = "job-042b1e5c8d7f4a93b60e2d4c6f8a0b1d"

SIMULATE_STEP_ID = "step-1a6c3e5f708b4d2c9e1f3a5b7c9d0e2f"
"""SUCCEEDED."""
RENDER_STEP_ID = "step-2b7d4f60819c5e3daf204b6c8d0e1f30"
"""In progress; three of its tasks wait for a user."""
COMPOSITE_STEP_ID = "step-3c8e50719a2d6f4eb0315c7d9e1f2041"
"""Waits for the render, and starts once every render task has succeeded."""

SIMULATE_TASK_IDS = "task-4d9f6182ab3e705fc1426d8eaf203152-{}"
RENDER_TASK_IDS = "task-5ea07293bc4f8160d2537e9fb0314263-{}"
COMPOSITE_TASK_IDS = "task-6fb183a4cd509271e3648fa0c1425374-{}"

EVERY_PARAMETER_TASK_ID = SIMULATE_TASK_IDS.format(0)
"""SUCCEEDED, with all five kinds of parameter."""
GREAT_NUMBERS_TASK_ID = SIMULATE_TASK_IDS.format(1)
"""SUCCEEDED; an int beyond 64 bits, and a float with more digits than a double has."""
RETRIED_TASK_ID = RENDER_TASK_IDS.format(1)
"""SUCCEEDED at the second attempt."""
FAILED_TASK_ID = RENDER_TASK_IDS.format(2)
"""FAILED after a retry, set by a user; it has every member of GetTask's response."""
SUSPENDED_TASK_ID = RENDER_TASK_IDS.format(3)
"""SUSPENDED by a user while RUNNING."""
CANCELED_TASK_ID = RENDER_TASK_IDS.format(4)
"""CANCELED by a user before it started."""
RUNNING_TASK_ID = RENDER_TASK_IDS.format(5)
"""RUNNING at the start, SUCCEEDED 45 seconds later."""
FLAKY_TASK_ID = RENDER_TASK_IDS.format(7)
"""READY at the start; its first attempt fails, the service retries it, and it succeeds."""
PENDING_TASK_ID = COMPOSITE_TASK_IDS.format(0)
"""PENDING; it has only the required members of GetTask's response."""

RUN_ID = "4721906"
"""RUNNING for the first four minutes, then COMPLETED."""
ENDED_RUN_ID = "4688213"
"""COMPLETED a day before the start: CancelRun is rejected."""

CACHE_HIT_TASK_ID = "6657061"
"""COMPLETED without running: its result was in the run cache."""
CPU_TASK_ID = "6657062"
"""COMPLETED on CPUs."""
FAILED_RUN_TASK_ID = "6657063"
"""FAILED on a GPU with SERVICE_ERROR; it has every member of GetRunTask's response."""
GPU_TASK_ID = "6657064"
"""The retry of the failed task, as a new task: RUNNING, COMPLETED after 94 seconds."""
PENDING_RUN_TASK_ID = "6657066"
"""PENDING for the first 100 seconds, with as few members as a task can have."""
LATER_TASK_ID = "6657067"
"""Does not exist until the engine creates it, after 120 seconds."""

WORKFLOW_ID = "3141592"
"""ACTIVE: a run of it aligns each of its `reads`, and calls variants on a GPU."""
