"""CreateJob of Deadline Cloud, and the dependencies between the steps of a job.

As at AWS, a job is CREATE_IN_PROGRESS at first; then its first tasks become READY. Two tags set how
the tasks perform on the simulated workers, for clients without `JobControl`: `taskgate:failures`
and `taskgate:seconds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.paging import list_rows
from taskgate_emulator.core.reading import reading
from taskgate_emulator.core.state import CALLER, Key, Record
from taskgate_emulator.core.timeline import planned
from taskgate_emulator.core.validation import Violation, rejection
from taskgate_emulator.deadline.behaviour import OPERATIONS, build_key, require_record
from taskgate_emulator.deadline.counts import step_outcome
from taskgate_emulator.deadline.environments import environments_of
from taskgate_emulator.deadline.steps import CREATED, schedule_step
from taskgate_emulator.deadline.tasks import JOB, QUEUE, STEP, TASK
from taskgate_emulator.deadline.templates import Document, ExpandedJob, expand

_Response = dict[str, Any]

_CREATION_SECONDS = 1.0
_DEFAULTS: Mapping[str, Any] = {
    "maxFailedTasksCount": 100,
    "maxRetriesPerTask": 5,
    "maxWorkerCount": -1,
}
"""The first two are the emulator's own: AWS's model has no defaults."""
_COPIED_PARAMS = (*_DEFAULTS, "priority", "attachments", "storageProfileId", "sourceJobId")


@OPERATIONS.register("CreateJob")
def create_job(call: Call) -> _Response:
    """Create a job from a template, or from the template of another job."""
    params, account = call.params, call.account
    require_record(account, QUEUE, params)
    given = _source(call)
    job = _expanded(call, given)
    key = (params["farmId"], params["queueId"], f"job-{account.new_hex_id()}")
    _admit(call, key, job)
    plan = [(_CREATION_SECONDS, _lifecycle("CREATE_COMPLETE", "Job creation completed"))]
    record = {
        **_DEFAULTS,
        **{name: params[name] for name in _COPIED_PARAMS if name in params},
        **_lifecycle("CREATE_IN_PROGRESS", "Job creation in progress"),
        **_simulation(params.get("tags", {})),
        "jobId": key[-1],
        "name": params.get("nameOverride") or job.name,
        "description": params.get("descriptionOverride") or job.description,
        "parameters": job.parameters,
        "createdAt": call.now,
        "createdBy": CALLER,
        "_tags": params.get("tags", {}),
        "_source": given,
    }
    (created,) = planned(call.now, account.speed, plan)
    account.put(JOB, key, record, (replace(created, timer=CREATED),))
    _make_steps(call, key, job)
    return {"jobId": key[-1]}


@OPERATIONS.register("ListStepDependencies")
def list_step_dependencies(call: Call) -> Record:
    """Return the steps that a step depends on."""
    record = require_record(call.account, STEP, call.params)
    return _list_related_steps(call, "dependencies", lambda name, _: name in record["_dependsOn"])


@OPERATIONS.register("ListStepConsumers")
def list_step_consumers(call: Call) -> Record:
    """Return the steps that depend on a step."""
    require_record(call.account, STEP, call.params)
    step = call.params["stepId"]
    return _list_related_steps(call, "consumers", lambda _, record: step in record["_dependsOn"])


def _source(call: Call) -> _Response:
    """Return the template and parameters of a job; those of its source job are the defaults."""
    params = call.params
    source: Record = {}
    if "sourceJobId" in params:
        ids = {**params, "jobId": params["sourceJobId"]}
        source = require_record(call.account, JOB, ids).get("_source") or {}
    template = params.get("template", source.get("template"))
    if template is None:
        raise rejection([Violation("template", "Member must not be null")])
    return {
        "template": template,
        "templateType": params.get("templateType", source.get("templateType", "YAML")),
        "parameters": {**source.get("parameters", {}), **params.get("parameters", {})},
    }


def _expanded(call: Call, given: _Response) -> ExpandedJob:
    with reading("template"):
        return expand(
            Document(given["template"], given["templateType"]),
            given["parameters"],
            environments_of(call.account, build_key(QUEUE, call.params)),
        )


def _admit(call: Call, key: Key, job: ExpandedJob) -> None:
    """Check a job against the quotas."""
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
    ids = {step.name: f"step-{account.new_hex_id()}" for step in expanded.steps}
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
        schedule_step(account, key, start)


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
    call: Call, member: str, is_related: Callable[[str, Record], bool]
) -> Record:
    """Return the steps of the job for which a predicate of id and record holds."""
    account, step = call.account, build_key(STEP, call.params)

    def to_item(key: Key, record: Record) -> Record | None:
        if not is_related(key[-1], record):
            return None
        # A dependency is resolved when it has succeeded; a consumer, when this step has.
        resolving = step if member == "consumers" else key
        resolved = step_outcome(account, resolving) == "SUCCEEDED"
        return {"stepId": key[-1], "status": "RESOLVED" if resolved else "UNRESOLVED"}

    return list_rows(call, member, STEP, step[:-1], to_item)
