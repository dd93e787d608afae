"""Names of the jobs, runs and tasks in the emulator's demo data."""

from __future__ import annotations

from taskgate_client import DeadlineTaskName
from taskgate_emulator.seeds import ids as seed

JOB = f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
JOB_IDS = {"farmId": seed.FARM_ID, "queueId": seed.QUEUE_ID, "jobId": seed.JOB_ID}
STEP = f"{JOB}/steps/{seed.RENDER_STEP_ID}"
RUN = f"omics/runs/{seed.RUN_ID}"
ENDED_RUN = f"omics/runs/{seed.ENDED_RUN_ID}"
RUNNING = f"{STEP}/tasks/{seed.RUNNING_TASK_ID}"
RUNNING_NAME = DeadlineTaskName(
    seed.FARM_ID, seed.QUEUE_ID, seed.JOB_ID, seed.RENDER_STEP_ID, seed.RUNNING_TASK_ID
)
"""The same name as `RUNNING`, as the client library has it."""
FAILED = f"{STEP}/tasks/{seed.FAILED_TASK_ID}"
CANCELED = f"{STEP}/tasks/{seed.CANCELED_TASK_ID}"
ABSENT = f"{STEP}/tasks/task-{'0' * 32}-0"
