"""A third AWS service as a plug-in: all of TaskService, and every operation as a typed RPC."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from botocore.loaders import Loader

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_pb2, task_update_pb2
from taskgate_client import CallError, TaskChange, WatchEnd
from tests.third_service.conftest import Batch

pytestmark = pytest.mark.long

QUEUE = "batch/queues/simulation"
SETTLED = {
    task_pb2.TASK_STATE_SUCCEEDED,
    task_pb2.TASK_STATE_FAILED,
    task_pb2.TASK_STATE_CANCELLED,
}


def test_every_operation_is_served(batch: Batch) -> None:
    model = Loader().load_service_model("batch", "service-2")
    [service] = batch.client.get_server_info().aws_services
    assert service.grpc_service == "taskgate_batch.v1.BatchService"
    assert service.operation_count == len(model["operations"])


def test_get(batch: Batch) -> None:
    name = batch.job("single")
    batch.client.wait_task(name, timeout=30)  # so that both read the same state
    task = batch.client.get_task(name)
    [job] = batch.aws.describe_jobs(jobs=[task.name.rpartition("/")[2]])["jobs"]
    assert task.display_name == job["jobName"]
    assert task.native_state == job["status"]
    assert task.create_time.ToMilliseconds() == job["createdAt"]
    assert task.other.type_url == "type.googleapis.com/taskgate_batch.v1.JobDetail"


def test_unknown_job_is_not_found(batch: Batch) -> None:
    with pytest.raises(CallError) as caught:
        batch.client.get_task(f"{QUEUE}/jobs/00000000-0000-4000-8000-000000000000")
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "name",
    [f"{QUEUE}/jobs/1", f"{QUEUE}/tasks/1", f"{QUEUE}/jobs/../x", "deadline/farms/f", "batch"],
)
def test_malformed_name_is_an_invalid_argument(batch: Batch, name: str) -> None:
    with pytest.raises(CallError) as caught:
        batch.client.get_task(name)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "batch/queues/{jobQueue}/jobs/{jobId}" in caught.value.message


def test_batch_get(batch: Batch) -> None:
    names = [batch.job("single"), *(f"{batch.job('sweep')}/childJobs/{index}" for index in (2, 0))]
    found = batch.client.batch_get_tasks(names)
    assert [each.name for each in found if isinstance(each, task_pb2.Task)] == names


def test_job_of_another_queue_is_neither_read_nor_changed(batch: Batch) -> None:
    """A policy decides by the queue in the name, and AWS would find the job by its id alone."""
    name = batch.submit()
    other = name.replace("queues/simulation", "queues/other")
    for call in (batch.client.get_task, batch.client.cancel_task):
        with pytest.raises(CallError) as caught:
            call(other)
        assert caught.value.code is grpc.StatusCode.NOT_FOUND
    [found] = batch.client.batch_get_tasks([other])
    assert isinstance(found, CallError)
    [job] = batch.aws.describe_jobs(jobs=[name.rpartition("/")[2]])["jobs"]
    assert not job.get("isTerminated")


def test_array_job_of_another_queue_is_neither_listed_nor_watched(batch: Batch) -> None:
    """AWS lists the children by the id of the array job alone."""
    other = batch.job("sweep").replace("queues/simulation", "queues/other")
    for read in (batch.client.list_tasks, batch.client.watch_tasks):
        with pytest.raises(CallError) as caught:
            list(read(other))
        assert caught.value.code is grpc.StatusCode.NOT_FOUND
    for call in (batch.client.summarize_tasks, batch.client.wait_task):
        with pytest.raises(CallError) as caught:
            call(other if call == batch.client.summarize_tasks else f"{other}/childJobs/0")
        assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_watch_of_a_queue_is_settled_with_its_jobs(batch: Batch) -> None:
    batch.submit()
    events = list(batch.client.watch_tasks(QUEUE, until_settled=True, timeout=60))
    assert isinstance(events[-1], WatchEnd)
    assert {each.state for each in batch.client.list_tasks(QUEUE)} <= SETTLED


def test_list_of_a_queue(batch: Batch) -> None:
    names = {task.name for task in batch.client.list_tasks(QUEUE)}
    assert {batch.job("single"), batch.job("sweep")} <= names


def test_list_of_an_array_job(batch: Batch) -> None:
    parent = batch.job("sweep")
    names = {task.name for task in batch.client.list_tasks(parent)}
    assert names == {f"{parent}/childJobs/{index}" for index in range(3)}


def test_watch_wait_and_filter(batch: Batch) -> None:
    parent = batch.submit(size=2)
    changes, ends = [], []
    for event in batch.client.watch_tasks(parent, until_settled=True):
        if isinstance(event, TaskChange):
            changes.append(event)
        elif isinstance(event, WatchEnd):
            ends.append(event)
    assert ends
    done = batch.client.wait_task(f"{parent}/childJobs/1", timeout=10)
    assert done.task.state == task_pb2.TASK_STATE_SUCCEEDED
    succeeded = list(batch.client.list_tasks(parent, filter="state = SUCCEEDED"))
    assert len(succeeded) == 2
    assert not list(batch.client.list_tasks(parent, filter="state = FAILED"))


def test_summary(batch: Batch) -> None:
    summary = batch.client.summarize_tasks(batch.job("sweep"))
    assert summary.counts.total == 3
    assert summary.display_name == "sweep"


def test_terminate(batch: Batch) -> None:
    name = batch.submit()
    task = batch.client.cancel_task(name)
    assert task.state == task_pb2.TASK_STATE_CANCELLED
    [job] = batch.aws.describe_jobs(jobs=[name.rpartition("/")[2]])["jobs"]
    assert job["isTerminated"]


@pytest.mark.parametrize("verb", ["retry_task", "suspend_task"])
def test_missing_verb_is_named(batch: Batch, verb: str) -> None:
    with pytest.raises(CallError) as caught:
        getattr(batch.client, verb)(batch.job("single"))
    assert caught.value.reason == "VERB_NOT_IN_SERVICE"
    [result] = batch.client.batch_update_tasks(
        {batch.job("single"): task_update_pb2.TASK_ACTION_RETRY}
    ).values()
    assert result is not None
    assert result.reason == "VERB_NOT_IN_SERVICE"


def test_logs(batch: Batch) -> None:
    name = batch.submit()
    batch.client.wait_task(name, timeout=30)
    assert [line.message for line in batch.client.stream_task_logs(name)] == ["started"]


def test_unselected_services_are_neither_served_nor_logged(batch: Batch) -> None:
    assert {line.get("service") for line in batch.log} == {None, "batch"}
    with pytest.raises(grpc.RpcError) as caught:
        batch.client.omics.GetRun(omics_pb2.GetRunRequest(id="1"))
    assert CallError.of(caught.value).code is grpc.StatusCode.UNIMPLEMENTED


def test_typed_rpc_equals_boto3(batch: Batch) -> None:
    """In a process of its own, in which the contract of the plug-in can be imported."""
    job_id = batch.job("single").rpartition("/")[2]
    program = (
        "import sys, grpc\n"
        "from taskgate_batch.v1 import batch_pb2, batch_pb2_grpc\n"
        "stub = batch_pb2_grpc.BatchServiceStub(grpc.insecure_channel(sys.argv[1]))\n"
        "response = stub.DescribeJobs(batch_pb2.DescribeJobsRequest(jobs=[sys.argv[2]]))\n"
        "job = response.jobs[0]\n"
        "print(job.job_id, job.job_name, job.status, job.created_at)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, batch.address, job_id],
        env=batch.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [job] = batch.aws.describe_jobs(jobs=[job_id])["jobs"]
    values = done.stdout.split()
    assert values[:2] == [job["jobId"], job["jobName"]]
    assert int(values[3]) == job["createdAt"]
