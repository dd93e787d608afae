"""CreateJob of Deadline Cloud, and how the steps of a job hang together.

A job is CREATE_IN_PROGRESS for a moment, as AWS's is, and then its first tasks become READY. Two
tags say how the simulated workers fare with its tasks, for those who cannot reach `JobControl`:
`taskgate:failures` and `taskgate:seconds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.paging import paginate
from taskgate_emulator.core.state import CALLER, Key, Record
from taskgate_emulator.core.timeline import planned
from taskgate_emulator.core.validation import Violation, rejection
from taskgate_emulator.deadline.behaviour import OPERATIONS, build_key, require_record
from taskgate_emulator.deadline.counts import outcome
from taskgate_emulator.deadline.steps import CREATED, wake_step
from taskgate_emulator.deadline.tasks import JOB, QUEUE, STEP, TASK, new_hex_id
from taskgate_emulator.deadline.templates import ExpandedJob, TemplateError, expand

_Response = dict[str, Any]

_CREATION_SECONDS = 1.0
_DEFAULTS: Mapping[str, Any] = {
    "maxFailedTasksCount": 100,
    "maxRetriesPerTask": 5,
    "maxWorkerCount": -1,
}
"""The first two are this emulator's: AWS's model names none."""
_KEPT = (*_DEFAULTS, "priority", "attachments", "storageProfileId", "sourceJobId")


@OPERATIONS.register("CreateJob")
def create_job(call: Call) -> _Response:
    """Make a job out of a template, or out of another job's."""
    params, account = call.params, call.account
    require_record(account, QUEUE, params)
    given = _given(call)
    job = _expanded(given)
    key = (params["farmId"], params["queueId"], f"job-{new_hex_id(account.random)}")
    _admit(call, key, job)
    plan = [(_CREATION_SECONDS, _lifecycle("CREATE_COMPLETE", "Job creation completed"))]
    record = {
        **_DEFAULTS,
        **{name: params[name] for name in _KEPT if name in params},
        **_lifecycle("CREATE_IN_PROGRESS", "Job creation in progress"),
        **_simulation(params.get("tags", {})),
        "jobId": key[-1],
        "name": params.get("nameOverride") or job.name,
        "description": params.get("descriptionOverride") or job.description,
        "parameters": job.parameters,
        "createdAt": call.now,
        "createdBy": CALLER,
        "_tags": params.get("tags", {}),
        "_given": given,
    }
    (created,) = planned(call.now, account.speed, plan)
    account.put(JOB, key, record, (replace(created, timer=CREATED),))
    _make_steps(call, key, job)
    return {"jobId": key[-1]}


@OPERATIONS.register("ListStepDependencies")
def list_step_dependencies(call: Call) -> _Response:
    """The steps that a step depends on."""
    record = require_record(call.account, STEP, call.params)
    return _list_related_steps(call, "dependencies", lambda name, _: name in record["_dependsOn"])


@OPERATIONS.register("ListStepConsumers")
def list_step_consumers(call: Call) -> _Response:
    """The steps that depend on a step."""
    require_record(call.account, STEP, call.params)
    step = call.params["stepId"]
    return _list_related_steps(call, "consumers", lambda _, record: step in record["_dependsOn"])


def _given(call: Call) -> _Response:
    """What the job is made from; a job made from another one may have other parameters."""
    params = call.params
    source: Record = {}
    if "sourceJobId" in params:
        ids = {**params, "jobId": params["sourceJobId"]}
        source = require_record(call.account, JOB, ids).get("_given") or {}
    template = params.get("template", source.get("template"))
    if template is None:
        raise rejection([Violation("template", "Member must not be null")])
    return {
        "template": template,
        "templateType": params.get("templateType", source.get("templateType", "YAML")),
        "parameters": {**source.get("parameters", {}), **params.get("parameters", {})},
    }


def _expanded(given: _Response) -> ExpandedJob:
    try:
        return expand(given["template"], given["templateType"], given["parameters"])
    except TemplateError as error:
        raise rejection([Violation("template", str(error))]) from error


def _admit(call: Call, key: Key, job: ExpandedJob) -> None:
    """Hold a job to the quotas."""
    account = call.account
    account.admit(account, JOB, key)
    account.admit_number("steps per job", len(job.steps))
    account.admit_number("tasks per job", sum(step.count for step in job.steps))
    consumers = Counter(needed for step in job.steps for needed in step.needs)
    for step in job.steps:
        account.admit_number("tasks per step", step.count)
        account.admit_number("dependencies per step", len(step.needs))
        account.admit_number("consumers per step", consumers[step.name])


def _make_steps(call: Call, job: Key, expanded: ExpandedJob) -> None:
    account = call.account
    suspended = call.params.get("targetTaskRunStatus") == "SUSPENDED"
    ids = {step.name: f"step-{new_hex_id(account.random)}" for step in expanded.steps}
    created = {"createdAt": call.now, "createdBy": CALLER}
    start = call.now + timedelta(seconds=_CREATION_SECONDS / account.speed)
    for step in expanded.steps:
        key = (*job, ids[step.name])
        record = {
            **step.members,
            **created,
            "stepId": key[-1],
            "name": step.name,
            "lifecycleStatus": "CREATE_COMPLETE",
            "_dependsOn": [ids[name] for name in step.needs],
        }
        account.put(STEP, key, record)
        status = "SUSPENDED" if suspended else "PENDING"
        for number, parameters in enumerate(step.tasks):
            task = f"task-{key[-1].removeprefix('step-')}-{number}"
            record = {"taskId": task, "runStatus": status, "failureRetryCount": 0, **created}
            if parameters:
                record["parameters"] = parameters
            account.put(TASK, (*key, task), record)
        wake_step(account, key, start)


def _lifecycle(status: str, message: str) -> _Response:
    return {"lifecycleStatus": status, "lifecycleStatusMessage": message}


def _simulation(tags: Mapping[str, str]) -> _Response:
    try:
        return {
            "_failures": int(tags.get("taskgate:failures", 0)),
            "_seconds": float(tags["taskgate:seconds"]) if "taskgate:seconds" in tags else None,
        }
    except ValueError as error:
        raise rejection([Violation("tags", str(error))]) from error


def _list_related_steps(
    call: Call, member: str, belongs: Callable[[str, Record], bool]
) -> _Response:
    """The steps of the job that a test holds of, by id and record."""
    account, job = call.account, build_key(STEP, call.params, inside=False)
    this = outcome(account, build_key(STEP, call.params)) == "SUCCEEDED"

    def rows_after(number: int) -> Iterator[tuple[int, Record]]:
        for name, row in account.table(STEP).after(number, *job):
            if belongs(name, row.timeline.record):
                # A dependency is resolved when it has succeeded; a consumer, when this step has.
                other = outcome(account, (*job, name)) == "SUCCEEDED"
                resolved = this if member == "consumers" else other
                yield row.number, {"stepId": name, "status": _RESOLUTIONS[resolved]}

    rows, token = paginate(call.operation, call.params, rows_after)
    return {member: rows, "nextToken": token}


_RESOLUTIONS = {True: "RESOLVED", False: "UNRESOLVED"}
