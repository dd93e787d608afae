"""What the Search operations of AWS Deadline Cloud look through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.search import search
from taskgate_emulator.core.state import Key, Record
from taskgate_emulator.deadline.behaviour import OPERATIONS, job_record, require_record, step_record
from taskgate_emulator.deadline.tasks import FARM, JOB, QUEUE, STEP, TASK

_WORKER = "deadline.Worker"


@OPERATIONS.register("SearchJobs")
def search_jobs(call: Call) -> dict[str, Any]:
    """Jobs of some queues."""
    rows = (
        {
            **job_record(call.account, key, record),
            "queueId": key[1],
            "jobParameters": record.get("parameters"),
        }
        for key, record in _jobs(call)
    )
    return search(call.operation, call.params, rows)


@OPERATIONS.register("SearchSteps")
def search_steps(call: Call) -> dict[str, Any]:
    """Steps of some queues, or of one job."""
    rows = (
        {
            **step_record(call.account, (*job, step_id), record),
            "queueId": job[1],
            "jobId": job[2],
        }
        for job, _ in _jobs(call)
        for step_id, record in call.account.table(STEP).records(*job)
    )
    return search(call.operation, call.params, rows)


@OPERATIONS.register("SearchTasks")
def search_tasks(call: Call) -> dict[str, Any]:
    """Tasks of some queues, or of one job."""
    steps = call.account.table(STEP)
    rows = (
        {**record, "queueId": job[1], "jobId": job[2], "stepId": step_id}
        for job, _ in _jobs(call)
        for step_id in steps.ids(*job)
        for _, record in call.account.table(TASK).records(*job, step_id)
    )
    return search(call.operation, call.params, rows)


@OPERATIONS.register("SearchWorkers")
def search_workers(call: Call) -> dict[str, Any]:
    """Workers of some fleets."""
    require_record(call.account, FARM, call.params)
    farm = call.params["farmId"]
    rows = (
        {**record, "fleetId": fleet}
        for fleet in call.params["fleetIds"]
        for _, record in call.account.table(_WORKER).records(farm, fleet)
    )
    return search(call.operation, call.params, rows)


def _jobs(call: Call) -> Iterator[tuple[Key, Record]]:
    """The jobs that the call's ids reach.

    Raises:
        AwsError: the farm, a queue or the job does not exist.
    """
    farm, wanted = call.params["farmId"], call.params.get("jobId")
    for queue in call.params["queueIds"]:
        require_record(call.account, QUEUE, {"farmId": farm, "queueId": queue})
    for queue in call.params["queueIds"]:
        for job, record in call.account.table(JOB).records(farm, queue):
            if wanted in {None, job}:
                yield (farm, queue, job), record
