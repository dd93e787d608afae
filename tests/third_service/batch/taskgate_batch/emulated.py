"""The emulated behaviour of AWS Batch: jobs and array jobs that run for some seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.operations import Call, Operations
from taskgate_emulator.core.state import ACCOUNT_ID, REGION, Account, Key, Record
from taskgate_emulator.core.timeline import Change

OPERATIONS: Final = Operations("batch")

JOB: Final = "batch.Job"
"""Rows of jobs and of the children of array jobs; the key is the AWS id."""

STAGES: Final = ((0.5, "RUNNABLE"), (1.0, "STARTING"), (2.0, "RUNNING"), (4.0, "SUCCEEDED"))
"""Seconds after the submission, and the status from then on."""

ENDED: Final = ("SUCCEEDED", "FAILED")
QUEUE: Final = "simulation"
LOG_GROUP: Final = "/aws/batch/job"


@OPERATIONS.register("SubmitJob")
def submit_job(call: Call) -> Record:
    """Create a job, or an array job with its children."""
    size = (call.params.get("arrayProperties") or {}).get("size")
    job_id = start(call.account, call.params["jobName"], call.params["jobQueue"], size)
    return {"jobName": call.params["jobName"], "jobId": job_id}


@OPERATIONS.register("DescribeJobs")
def describe_jobs(call: Call) -> Record:
    """Return the jobs that exist, at most a hundred."""
    if len(call.params["jobs"]) > 100:  # AWS's limit
        raise AwsError("ClientException", "jobs must have at most 100 items")
    rows = ((job, call.account.table(JOB).record((job,))) for job in call.params["jobs"])
    return {"jobs": [_detail(call.account, job, row) for job, row in rows if row is not None]}


@OPERATIONS.register("ListJobs")
def list_jobs(call: Call) -> Record:
    """Return the jobs of a queue, or the children of an array job, in pages."""
    params = call.params
    status = params.get("jobStatus") or (None if params.get("filters") else "RUNNING")
    rows = [
        _detail(call.account, job, row)
        for job, row in call.account.table(JOB).records()
        if _is_listed(params, job, row)
    ]
    chosen = [row for row in rows if status is None or row["status"] == status]
    start_at = int(params.get("nextToken") or 0)
    end = start_at + (params.get("maxResults") or 100)
    page: dict[str, Any] = {"jobSummaryList": chosen[start_at:end]}
    return page | ({"nextToken": str(end)} if end < len(chosen) else {})


@OPERATIONS.register("TerminateJob")
def terminate_job(call: Call) -> Record:
    """End a job as FAILED, unless it has ended."""
    key = (call.params["jobId"],)
    row = call.account.table(JOB).record(key)
    if row is None:
        raise AwsError("ClientException", f"Job {key[0]} does not exist")
    for each in [key, *_children(call.account, key[0])]:
        found = call.account.table(JOB).record(each)
        if found is not None and found["status"] not in ENDED:
            ended = {
                "status": "FAILED",
                "isTerminated": True,
                "statusReason": call.params["reason"],
                "stoppedAt": _milliseconds(call.now),
            }
            call.account.put(JOB, each, {**found, **ended})
    return {}


@OPERATIONS.on_change(JOB)
def send_event(account: Account, transition: Any) -> None:
    """Send `Batch Job State Change`, and write the log of a job that has run."""
    row = transition.after
    if row is None or (transition.before or {}).get("status") == row["status"]:
        return
    detail = {**_detail(account, transition.key[0], row), "jobQueue": _queue_arn(row["_queue"])}
    account.emit_event("aws.batch", "Batch Job State Change", detail, at=transition.at)
    if row["status"] == "RUNNING":
        account.write_log(LOG_GROUP, _stream(transition.key[0]), transition.at, "started")


def seed(account: Account) -> None:
    """Create the jobs of the demo: an array job, and a job that has ended."""
    start(account, "sweep", QUEUE, 3)
    start(account, "single", QUEUE, None)


def start(account: Account, name: str, queue: str, size: int | None) -> str:
    """Create a job, or an array job with children, and schedule its changes; return its id."""
    job_id = account.new_uuid()
    queue = queue.rpartition("/")[2]
    ids = [job_id] if size is None else [job_id, *(f"{job_id}:{index}" for index in range(size))]
    for each in ids:
        record = {
            "jobName": name,
            "status": "SUBMITTED",
            "createdAt": _milliseconds(account.now),
            "startedAt": 0,  # a required member of AWS's JobDetail
            "_queue": queue,
            "_size": size if each == job_id else None,
        }
        account.put(JOB, (each,), record, tuple(_changes(account)))
    return job_id


def _changes(account: Account) -> Iterator[Change]:
    for seconds, status in STAGES:
        at = account.now + timedelta(seconds=seconds / account.speed)
        member = {"RUNNING": "startedAt", "SUCCEEDED": "stoppedAt"}.get(status)
        time = {member: _milliseconds(at)} if member else {}
        yield Change(at, {"status": status, **time})


def _is_listed(params: Mapping[str, Any], job_id: str, row: Record) -> bool:
    array, _, index = job_id.partition(":")
    if params.get("arrayJobId"):
        return bool(index) and array == params["arrayJobId"]
    return not index and row["_queue"] == str(params.get("jobQueue", "")).rpartition("/")[2]


def _detail(account: Account, job_id: str, row: Record) -> Record:
    index = job_id.partition(":")[2]
    found = {name: value for name, value in row.items() if not name.startswith("_")}
    found |= {
        "jobId": job_id,
        "jobQueue": _queue_arn(row["_queue"]),
        "jobDefinition": f"arn:aws:batch:{REGION}:{ACCOUNT_ID}:job-definition/demo:1",
    }
    if row.get("startedAt"):
        found["container"] = {"logStreamName": _stream(job_id)}
        if row.get("stoppedAt"):
            attempt = {"container": found["container"], "stoppedAt": row["stoppedAt"]}
            found["attempts"] = [attempt]
    if index:
        found["arrayProperties"] = {"index": int(index)}
    elif row["_size"] is not None:
        children = [account.table(JOB).record(key) for key in _children(account, job_id)]
        counts = Counter(child["status"] for child in children if child is not None)
        found["arrayProperties"] = {"size": row["_size"], "statusSummary": dict(counts)}
    return found


def _children(account: Account, job_id: str) -> list[Key]:
    row = account.table(JOB).record((job_id,))
    size = row["_size"] if row is not None else None
    return [(f"{job_id}:{index}",) for index in range(size or 0)]


def _stream(job_id: str) -> str:
    return f"demo/default/{job_id.replace(':', '-')}"


def _queue_arn(name: str) -> str:
    return f"arn:aws:batch:{REGION}:{ACCOUNT_ID}:job-queue/{name}"


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
