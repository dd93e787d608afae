"""Run batches of HealthOmics: many runs of one workflow, submitted with one call.

The runs start after the call, one by one; a run that cannot start is a failed submission and does
not fail the batch. The counts of a batch are computed when it is read.

https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from taskgate_emulator.core.errors import AwsError, OperationNotEmulatedError, conflict, not_found
from taskgate_emulator.core.operations import Call
from taskgate_emulator.core.paging import list_rows
from taskgate_emulator.core.state import Account, Key, Record, Transition
from taskgate_emulator.core.timeline import Change, planned
from taskgate_emulator.omics.behaviour import ENDED, OPERATIONS, RUN, stop_run
from taskgate_emulator.omics.runs import delete_ended_run, start

__all__ = ["BATCH"]

BATCH = "omics.Batch"
_MEMBER = "omics.BatchMember"
"""The runs of a batch; the key is batch id and run setting id."""

_SUBMITTING_SECONDS = 1.0
_SUBMITTED_SECONDS = 2.0
_FINAL_STATUSES = frozenset(
    {"CANCELLED", "FAILED", "PROCESSED", "RUNS_DELETED", "RUNS_DELETE_FAILED"}
)
_RENAMED = {"runTags": "tags"}


@OPERATIONS.register("StartRunBatch")
def start_run_batch(call: Call) -> Record:
    """Create a batch and schedule the submission of its runs."""
    account, params = call.account, call.params
    settings = params["batchRunSettings"].get("inlineSettings")
    if settings is None:
        raise OperationNotEmulatedError("omics", "StartRunBatch by s3UriSettings")
    names = [each["runSettingId"] for each in settings]
    if len(set(names)) < len(names):
        raise AwsError("ValidationException", "Each runSettingId must be there once")
    workflow_id = params["defaultRunSetting"]["workflowId"]
    if account.table("omics.Workflow").record((workflow_id,)) is None:
        raise not_found("workflow", workflow_id)
    batch_id = str(account.random.randrange(10**6, 10**7))
    record = {
        "id": batch_id,
        "arn": account.arn("omics", f"runBatch/{batch_id}"),
        "uuid": account.new_uuid(),
        "name": params.get("batchName"),
        "status": "PENDING",
        "tags": dict(params.get("tags", {})),
        "totalRuns": len(settings),
        "defaultRunSetting": params["defaultRunSetting"],
        "creationTime": account.now,
    }
    for each in settings:
        key = (batch_id, each["runSettingId"])
        account.put(_MEMBER, key, {"runSettingId": each["runSettingId"], "_setting": each})
    submitting, submit = planned(
        account.now,
        account.speed,
        [(_SUBMITTING_SECONDS, {"status": "SUBMITTING"}), (_SUBMITTED_SECONDS, {})],
    )
    waking = Change(submit.at, {}, "omics.batch_submits")
    account.put(BATCH, (batch_id,), record, (submitting, waking))
    return record


@OPERATIONS.on_timer("omics.batch_submits")
def submit_batch(account: Account, key: Key, at: datetime) -> None:
    """Start the runs of a batch."""
    batch = account.table(BATCH).record(key)
    if batch is None:
        return
    for name, member in list(account.table(_MEMBER).records(*key)):
        params = _settings(key[0], batch["defaultRunSetting"], member["_setting"])
        try:
            run = start(account, params)
        except AwsError as error:
            outcome: dict[str, Any] = {
                "submissionStatus": "FAILED",
                "submissionFailureReason": error.code,
                "submissionFailureMessage": error.message,
            }
        else:
            outcome = {
                "submissionStatus": "SUCCESS",
                "runId": run["id"],
                "runArn": run["arn"],
                "runInternalUuid": run["uuid"],
            }
        account.update(_MEMBER, (*key, name), **outcome)
    account.update(BATCH, key, status="INPROGRESS", submittedTime=at)
    _settle(account, key[0])


@OPERATIONS.on_change(RUN)
def run_of_batch_changed(account: Account, transition: Transition) -> None:
    """End a batch when all its runs have ended."""
    run = transition.after
    if run is not None and "batchId" in run and run["status"] in ENDED:
        _settle(account, run["batchId"])


@OPERATIONS.register("GetBatch")
def get_batch(call: Call) -> Record:
    """Return a batch with the counts of its runs."""
    account, batch = call.account, _batch(call)
    members = [member for _, member in account.table(_MEMBER).records(batch["id"])]
    submitted = Counter(member.get("submissionStatus") for member in members)
    runs = Counter(_run_status(account, member) for member in members if "runId" in member)
    cancelled, deleted = submitted["CANCEL_SUCCESS"], submitted["DELETE_SUCCESS"]
    started = sum("runId" in member for member in members)
    return {
        **batch,
        "submissionSummary": {
            "successfulStartSubmissionCount": started,
            "failedStartSubmissionCount": submitted["FAILED"],
            "pendingStartSubmissionCount": submitted[None],
            "successfulCancelSubmissionCount": cancelled,
            "failedCancelSubmissionCount": submitted["CANCEL_FAILED"],
            "successfulDeleteSubmissionCount": deleted,
            "failedDeleteSubmissionCount": submitted["DELETE_FAILED"],
        },
        "runSummary": {
            f"{status.lower()}RunCount": runs[status]
            for status in (
                "PENDING",
                "STARTING",
                "RUNNING",
                "STOPPING",
                "COMPLETED",
                "DELETED",
                "FAILED",
                "CANCELLED",
            )
        },
    }


@OPERATIONS.register("ListBatch")
def list_batch(call: Call) -> Record:
    """Return the batches that match the filters."""
    params = call.params

    def to_item(_: Key, batch: Record) -> Record | None:
        setting = batch["defaultRunSetting"]
        matches = (
            params.get("status") in {None, batch["status"]}
            and params.get("name") in {None, batch["name"]}
            and params.get("runGroupId") in {None, setting.get("runGroupId")}
        )
        item = {"createdAt": batch["creationTime"], "workflowId": setting["workflowId"]}
        return {**batch, **item} if matches else None

    return list_rows(call, "items", BATCH, (), to_item)


@OPERATIONS.register("ListRunsInBatch")
def list_runs_in_batch(call: Call) -> Record:
    """Return the runs of a batch that match the filters."""
    batch = _batch(call)
    names = ("submissionStatus", "runSettingId", "runId")
    filters = {name: call.params[name] for name in names if name in call.params}

    def to_item(_: Key, member: Record) -> Record | None:
        return member if all(member.get(name) == value for name, value in filters.items()) else None

    return list_rows(call, "runs", _MEMBER, (batch["id"],), to_item)


@OPERATIONS.register("CancelRunBatch")
def cancel_run_batch(call: Call) -> Record:
    """Cancel all runs of a batch that have not ended."""
    account, batch = call.account, _batch(call)
    if batch["status"] in _FINAL_STATUSES:
        raise conflict("batch", batch["id"], f"A batch that is {batch['status']} has no more to do")
    account.put(BATCH, (batch["id"],), {**batch, "status": "STOPPING"})

    def cancel(run_id: str) -> bool:
        run = account.table(RUN).record((run_id,))
        if run is None or run["status"] in ENDED:
            return False
        stop_run(account, run_id, {"status": "CANCELLED"})
        return True

    _apply_to_runs(account, batch["id"], "CANCEL", cancel)
    _settle(account, batch["id"])
    return {}


@OPERATIONS.register("DeleteRunBatch")
def delete_run_batch(call: Call) -> Record:
    """Delete all runs of a batch."""
    account, batch = call.account, _batch(call)
    if batch["status"] not in _FINAL_STATUSES:
        raise conflict("batch", batch["id"], f"A batch that is {batch['status']} has runs to end")

    def delete(run_id: str) -> bool:
        try:
            delete_ended_run(account, run_id)
        except AwsError:
            return False
        return True

    succeeded = _apply_to_runs(account, batch["id"], "DELETE", delete)
    status = "RUNS_DELETED" if succeeded else "RUNS_DELETE_FAILED"
    changes = planned(account.now, account.speed, [(_SUBMITTING_SECONDS, {"status": status})])
    account.put(BATCH, (batch["id"],), {**batch, "status": "RUNS_DELETING"}, changes)
    return {}


@OPERATIONS.register("DeleteBatch")
def delete_batch(call: Call) -> Record:
    """Delete a batch that has ended, but not its runs."""
    account, batch = call.account, _batch(call)
    if batch["status"] not in _FINAL_STATUSES:
        message = f"A batch that is {batch['status']} cannot be deleted"
        raise conflict("batch", batch["id"], message)
    for name in account.table(_MEMBER).ids(batch["id"]):
        account.delete(_MEMBER, (batch["id"], name))
    account.delete(BATCH, (batch["id"],))
    return {}


def _batch(call: Call) -> Record:
    batch_id = call.params["batchId"]
    batch = call.account.table(BATCH).record((batch_id,))
    if batch is None:
        raise not_found("batch", batch_id)
    return batch


def _settings(batch_id: str, default: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params of StartRun for one run of a batch, with merged parameters and tags."""
    merged = {**default, **own}
    for name in ("parameters", "runTags"):
        if name in default and name in own:
            merged[name] = {**default[name], **own[name]}
    del merged["runSettingId"]
    params = {_RENAMED.get(name, name): value for name, value in merged.items()}
    return {**params, "batchId": batch_id}


def _apply_to_runs(account: Account, batch_id: str, verb: str, act: Callable[[str], bool]) -> bool:
    """Apply an action to each run of a batch; return whether all succeeded."""
    all_succeeded = True
    for name, member in list(account.table(_MEMBER).records(batch_id)):
        if "runId" in member:
            succeeded = act(member["runId"])
            all_succeeded = all_succeeded and succeeded
            status = f"{verb}_{'SUCCESS' if succeeded else 'FAILED'}"
            account.update(_MEMBER, (batch_id, name), submissionStatus=status)
    return all_succeeded


def _settle(account: Account, batch_id: str) -> None:
    """End a batch if all its runs have ended."""
    batch = account.table(BATCH).record((batch_id,))
    if batch is None or batch["status"] not in {"INPROGRESS", "STOPPING"}:
        return
    members = [member for _, member in account.table(_MEMBER).records(batch_id)]
    if all(_run_status(account, each) in ENDED for each in members if "runId" in each):
        status = "PROCESSED" if batch["status"] == "INPROGRESS" else "CANCELLED"
        account.update(BATCH, (batch_id,), status=status, processedTime=account.now)


def _run_status(account: Account, member: Record) -> str:
    run = account.table(RUN).record((member["runId"],))
    return "DELETED" if run is None else str(run["status"])
