"""StartRun and DeleteRun of HealthOmics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from taskgate_emulator.core.errors import AwsError, conflict, not_found
from taskgate_emulator.core.operations import Call, Computation
from taskgate_emulator.core.state import ACCOUNT_ID, CALLER, Account, Key, Record
from taskgate_emulator.omics.behaviour import ENDED, OPERATIONS, RUN, RUN_TASK
from taskgate_emulator.omics.cache import RUN_CACHE
from taskgate_emulator.omics.execution import LOG_STREAMS, submit
from taskgate_emulator.omics.failures import schedule_tagged_failures
from taskgate_emulator.omics.workflows import READINGS, WORKFLOW, WORKFLOW_VERSION, reading_of
from taskgate_emulator.workflows.reading import Reading, Result

__all__ = ["delete_ended_run", "start"]

_MAX_RUNS = 100_000
"""https://docs.aws.amazon.com/omics/latest/dev/service-quotas.html: L-C9679DBC"""
_STATIC_GIBIBYTES = 1_200
"""The minimum: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-types.html"""

_COPIED_PARAMS = (
    "workflowId",
    "workflowType",
    "workflowVersionName",
    "workflowOwnerId",
    "roleArn",
    "name",
    "cacheId",
    "cacheBehavior",
    "runGroupId",
    "batchId",
    "priority",
    "parameters",
    "outputUri",
    "logLevel",
    "retentionMode",
    "storageType",
    "storageCapacity",
    "networkingMode",
    "scratchStorageMode",
    "engineSettings",
    "sessionPolicy",
    "outputUriPrefixMode",
    "configuration",
)
"""The params of StartRun in a run's record; a rerun by `runId` copies them."""
_RESPONSE_MEMBERS = ("arn", "id", "status", "tags", "uuid", "runOutputUri", "configuration")


@OPERATIONS.register("StartRun")
def start_run(call: Call) -> Record:
    """Start a run of a workflow, or rerun an existing run."""
    params: dict[str, Any] = {}
    if "runId" in call.params:
        earlier = call.account.table(RUN).record((call.params["runId"],))
        if earlier is None:
            raise not_found("run", call.params["runId"])
        params = {name: earlier[name] for name in _COPIED_PARAMS if name in earlier}
    run = start(call.account, {**params, **call.params})
    return {
        **{name: run[name] for name in _RESPONSE_MEMBERS if name in run},
        "networkingMode": run["networkingMode"],
    }


@OPERATIONS.compute_before("StartRun")
def plan_run(account: Account, params: Mapping[str, Any]) -> Computation | None:
    """Return what plans the calls of a new run outside of the event loop."""
    if "workflowId" not in params or not isinstance(params.get("parameters", {}), Mapping):
        return None
    reading = _reading(account, params)
    if reading is None or READINGS.is_known(reading):
        return None
    return partial(READINGS.prepare, reading)


@OPERATIONS.register("DeleteRun")
def delete_run(call: Call) -> Record:
    """Delete a run that has ended, but not its log streams."""
    delete_ended_run(call.account, call.params["id"])
    return {}


def delete_ended_run(account: Account, run_id: str) -> None:
    """Delete a run.

    Raises:
        AwsError: the run does not exist or has not ended.
    """
    run = account.table(RUN).record((run_id,))
    if run is None:
        raise not_found("run", run_id)
    if run["status"] not in ENDED:
        raise conflict("run", run_id, f"A run that is {run['status']} cannot be deleted")
    account.update(RUN, (run_id,), status="DELETED")
    for task_id in account.table(RUN_TASK).ids(run_id):
        account.delete(RUN_TASK, (run_id, task_id))
    account.delete(RUN, (run_id,))


def start(account: Account, params: Mapping[str, Any]) -> Record:
    """Start a run.

    Args:
        account: that will have the run.
        params: of StartRun, complete; with `batchId` if a batch starts it.

    Returns:
        The run as GetRun returns it.

    Raises:
        AwsError: the workflow, group or cache does not exist, or the parameters are invalid.
    """
    workflow = _workflow(account, params)
    for member, kind, word in (
        ("runGroupId", "omics.RunGroup", "runGroup"),
        ("cacheId", RUN_CACHE, "runCache"),
        ("configurationName", "omics.Configuration", "configuration"),
    ):
        if member in params and account.table(kind).record((params[member],)) is None:
            raise not_found(word, params[member])
    _check_parameters(workflow, params.get("parameters", {}))
    _evict_oldest_run(account)
    run_id = _free_id(account)
    record = _record(account, run_id, workflow, params)
    schedule_tagged_failures(account, run_id, record["tags"])
    reading = _reading(account, params)
    result = READINGS.read(reading) if reading else Result(error="The workflow has no definition")
    calls = result.calls
    if result.error is not None:
        # At AWS, too, the engine reports this error only when the run starts.
        record["_failure"] = result.error[:1_000]
    estimates = [f"{call.name}: {', '.join(call.estimates)}" for call in calls if call.estimates]
    if estimates:
        record["_estimates"] = estimates
        record["statusMessage"] = "The emulator estimates parts of this run; see its engine log"
    submit(account, run_id, record, calls)
    return record


def _reading(account: Account, params: Mapping[str, Any]) -> Reading | None:
    version, parameters = params.get("workflowVersionName"), params.get("parameters", {})
    return reading_of(account, params["workflowId"], version, parameters)


def _workflow(account: Account, params: Mapping[str, Any]) -> Record:
    if "workflowId" not in params:
        message = "One of workflowId and runId is required"
        raise AwsError("ValidationException", message)
    key: Key = (params["workflowId"],)
    kind, version = WORKFLOW, params.get("workflowVersionName")
    found = account.table(kind).record(key)
    # There are no READY2RUN workflows, and none that other accounts share.
    is_own = params.get("workflowOwnerId", ACCOUNT_ID) == ACCOUNT_ID
    if found is None or not is_own or found["type"] != params.get("workflowType", found["type"]):
        raise not_found("workflow", key[0])
    if version is not None:
        kind, key = WORKFLOW_VERSION, (*key, version)
        own = account.table(kind).record(key)
        if own is None:
            raise not_found("workflowVersion", version)
        found = {**found, **own}
    if found["status"] != "ACTIVE":
        message = f"A workflow that is {found['status']} cannot run"
        raise conflict(kind.partition(".")[2], key[-1], message)
    return found


def _check_parameters(workflow: Record, parameters: Any) -> None:
    """Check the parameters of a run against the template of its workflow.

    If the template was derived from the definition, the engine checks for unknown parameters.
    """
    if not isinstance(parameters, Mapping):
        raise AwsError("ValidationException", "parameters must be a JSON object")
    template: Mapping[str, Mapping[str, Any]] = workflow.get("parameterTemplate") or {}
    given = {*parameters, *(name.rpartition(".")[2] for name in parameters)}
    missing = [
        name for name, each in template.items() if not each.get("optional") and name not in given
    ]
    if missing:
        message = f"Missing required parameters: {', '.join(sorted(missing))}"
        raise AwsError("ValidationException", message)
    unknown = sorted(parameters.keys() - template.keys()) if workflow["_templateGiven"] else []
    if unknown:
        message = f"Parameters that the parameter template does not have: {', '.join(unknown)}"
        raise AwsError("ValidationException", message)


def _evict_oldest_run(account: Account) -> None:
    """Delete the oldest removable run if the maximum number of runs is reached.

    https://docs.aws.amazon.com/omics/latest/dev/run-retention.html
    """
    table = account.table(RUN)
    if table.size() < _MAX_RUNS:
        return
    for run_id, run in table.records():
        if run["status"] in ENDED and run.get("retentionMode") == "REMOVE":
            delete_ended_run(account, run_id)
            return
    message = f"There are {_MAX_RUNS} runs already, and none with the retention mode REMOVE"
    raise AwsError("ServiceQuotaExceededException", message)


def _record(
    account: Account, run_id: str, workflow: Record, params: Mapping[str, Any]
) -> dict[str, Any]:
    uuid = account.new_uuid()
    output = str(params.get("outputUri", "")).rstrip("/")
    overwrites = params.get("outputUriPrefixMode") == "NONE_WITH_OVERWRITE"
    stream = account.arn("logs", f"{LOG_STREAMS}:run/{run_id}")
    record: dict[str, Any] = {
        "logLevel": "ALL",
        "retentionMode": "RETAIN",
        "workflowType": "PRIVATE",
        "networkingMode": "RESTRICTED",
        "storageType": workflow.get("storageType", "STATIC"),
        **{name: params[name] for name in _COPIED_PARAMS if name in params},
        "arn": account.arn("omics", f"run/{run_id}"),
        "id": run_id,
        "uuid": uuid,
        "status": "PENDING",
        "creationTime": account.now,
        "startedBy": CALLER,
        "tags": dict(params.get("tags", {})),
        "runOutputUri": output if overwrites else f"{output}/{run_id}",
        "digest": workflow["digest"],
        "workflowUuid": workflow["uuid"],
        "workflowName": workflow.get("name", ""),
        "_engine": workflow.get("engine"),
    }
    if "runId" in params:
        record["runId"] = params["runId"]
    if "accelerators" in workflow:
        record["accelerators"] = workflow["accelerators"]
    if "cacheId" in record:
        cache = account.table(RUN_CACHE).record((record["cacheId"],)) or {}
        record.setdefault("cacheBehavior", cache.get("cacheBehavior", "CACHE_ON_FAILURE"))
    if "configurationName" in params:
        record["configuration"] = _configuration(account, params["configurationName"])
    if record["storageType"] == "DYNAMIC":
        record.pop("storageCapacity", None)
    else:
        default = workflow.get("storageCapacity", _STATIC_GIBIBYTES)
        record.setdefault("storageCapacity", default)
    if record["logLevel"] != "OFF":
        record["logLocation"] = {"engineLogStream": f"{stream}/engine", "runLogStream": stream}
    return record


def _configuration(account: Account, name: str) -> dict[str, Any]:
    found = account.table("omics.Configuration").record((name,)) or {}
    return {member: found[member] for member in ("name", "arn", "uuid") if member in found}


def _free_id(account: Account) -> str:
    while True:
        run_id = str(account.random.randrange(10**6, 10**7))
        if account.table(RUN).record((run_id,)) is None:
            return run_id
