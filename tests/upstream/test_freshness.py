"""The maximum age of responses, over the wire: which requests reach AWS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc
from taskgate_client import CallError, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.aws_requests import operations_since
from tests.support.running_server import running_server, settings_for

IDS = {
    "farm_id": seed.FARM_ID,
    "queue_id": seed.QUEUE_ID,
    "job_id": seed.JOB_ID,
    "step_id": seed.SIMULATE_STEP_ID,
}
GET = deadline_pb2.GetTaskRequest(task_id=seed.EVERY_PARAMETER_TASK_ID, **IDS)
NAME = (
    f"deadline/farms/{seed.FARM_ID}/queues/{seed.QUEUE_ID}/jobs/{seed.JOB_ID}"
    f"/steps/{seed.SIMULATE_STEP_ID}/tasks/{seed.EVERY_PARAMETER_TASK_ID}"
)
REPORT = (("taskgate-report-source", "true"),)


@pytest.fixture
def shared(aws: Emulator) -> Iterator[grpc.Channel]:
    """A channel to a server that caches responses for a minute."""
    settings = settings_for(aws.endpoint_url, default_max_age_seconds=60)
    with running_server(settings) as address, grpc.insecure_channel(str(address)) as channel:
        yield channel


def test_equal_reads_reach_aws_once(aws: Emulator, shared: grpc.Channel) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    since = aws.request_count
    first, second = stub.GetTask(GET), stub.GetTask(GET)
    assert first == second
    assert operations_since(aws, since) == ["GetTask"]


def test_unified_and_aws_rpcs_share_a_response(aws: Emulator, shared: grpc.Channel) -> None:
    since = aws.request_count
    native = deadline_pb2_grpc.DeadlineServiceStub(shared).GetTask(GET)
    request = task_service_pb2.GetTaskRequest(name=NAME)
    task = task_service_pb2_grpc.TaskServiceStub(shared).GetTask(request).task
    assert task.deadline == native
    assert operations_since(aws, since) == ["GetTask"]


def test_max_age_zero_calls_aws(aws: Emulator, shared: grpc.Channel) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    tasks = task_service_pb2_grpc.TaskServiceStub(shared)
    stub.GetTask(GET)
    since = aws.request_count
    stub.GetTask(GET, metadata=(("taskgate-max-age", "0"),))
    tasks.GetTask(task_service_pb2.GetTaskRequest(name=NAME, max_age=Duration()))
    assert operations_since(aws, since) == ["GetTask", "GetTask"]
    stub.GetTask(GET, metadata=(("taskgate-max-age", "59.5"),))
    assert len(operations_since(aws, since)) == 2


def test_metadata_has_the_time_of_the_response(shared: grpc.Channel) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    before = time.time()
    _, call = stub.GetTask.with_call(GET, metadata=REPORT)
    _, again = stub.GetTask.with_call(GET, metadata=REPORT)
    source = dict(call.trailing_metadata())
    assert source.keys() == {"taskgate-observe-time", "taskgate-aws-request-id"}
    assert dict(again.trailing_metadata()) == source
    assert not call.initial_metadata()
    observed = source["taskgate-observe-time"]
    assert before <= datetime.fromisoformat(str(observed)).timestamp() <= time.time()


def test_callers_that_limit_the_age_get_it_in_the_initial_metadata_too(
    shared: grpc.Channel,
) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    _, call = stub.GetTask.with_call(GET, metadata=REPORT)
    _, limiting = stub.GetTask.with_call(GET, metadata=(("taskgate-max-age", "59"),))
    source = dict(call.trailing_metadata())
    assert dict(limiting.trailing_metadata()) == source
    assert dict(limiting.initial_metadata()) == {
        "taskgate-observe-time": source["taskgate-observe-time"]
    }


@pytest.mark.parametrize("metadata", [(), (("taskgate-report-source", "false"),)])
def test_other_callers_get_no_metadata(
    shared: grpc.Channel, metadata: tuple[tuple[str, str], ...]
) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    _, call = stub.GetTask.with_call(GET, metadata=metadata)
    assert not call.initial_metadata()
    assert not call.trailing_metadata()


@pytest.mark.parametrize("value", ["yes", "TRUE", ""])
def test_a_bad_report_source_is_refused(shared: grpc.Channel, value: str) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    with pytest.raises(grpc.RpcError) as raised:
        stub.GetTask(GET, metadata=(("taskgate-report-source", value),))
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations[0].field == "taskgate-report-source"


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", ""])
def test_a_bad_max_age_is_refused(shared: grpc.Channel, value: str) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    with pytest.raises(grpc.RpcError) as raised:
        stub.GetTask(GET, metadata=(("taskgate-max-age", value),))
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations[0].field == "taskgate-max-age"


def test_a_negative_max_age_is_refused(shared: grpc.Channel) -> None:
    request = task_service_pb2.GetTaskRequest(name=NAME, max_age=Duration(seconds=-1))
    with pytest.raises(grpc.RpcError) as raised:
        task_service_pb2_grpc.TaskServiceStub(shared).GetTask(request)
    assert CallError.of(raised.value).violations[0].field == "max_age"


def test_a_write_is_seen_by_the_next_read(aws: Emulator, shared: grpc.Channel) -> None:
    # A job of its own: others read the demo's, which must not go on because of this test.
    job = aws.jobs.add([1], status="SUSPENDED")
    step = job.steps[0]
    ids = {"farm_id": job.farm, "queue_id": job.queue, "job_id": job.job, "step_id": step}
    ids["task_id"] = job.task(0)["taskId"]
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    read = deadline_pb2.GetTaskRequest(**ids)
    before = stub.GetTask(read).run_status
    requeue = deadline_pb2.TASK_TARGET_RUN_STATUS_PENDING
    write = deadline_pb2.UpdateTaskRequest(**ids)  # type: ignore[arg-type]  # ids are its texts
    write.target_run_status = requeue
    stub.UpdateTask(write)
    assert stub.GetTask(read).run_status != before


def test_not_found_is_cached_over_the_wire(aws: Emulator, shared: grpc.Channel) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    missing = deadline_pb2.GetTaskRequest(task_id="task-" + "0" * 32 + "-0", **IDS)
    since = aws.request_count
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetTask(missing)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert operations_since(aws, since) == ["GetTask"]


def test_reads_of_many_tasks_become_batches(aws: Emulator, shared: grpc.Channel) -> None:
    stub = deadline_pb2_grpc.DeadlineServiceStub(shared)
    prefix = seed.EVERY_PARAMETER_TASK_ID.rpartition("-")[0]
    names = [f"{prefix}-{number}" for number in range(60)]
    since = aws.request_count

    def read(name: str) -> str:
        request = deadline_pb2.GetTaskRequest(task_id=name, **IDS)
        try:
            return str(stub.GetTask(request, metadata=(("taskgate-max-age", "0"),)).task_id)
        except grpc.RpcError as error:
            return str(CallError.of(error).code)

    # While a call is under way, others come and wait for it, also on a busy machine.
    slow = aws.faults.add(kind="latency", operation="*GetTask", seconds=1.0)
    try:
        with ThreadPoolExecutor(60) as threads:
            results = list(threads.map(read, names * 2))
    finally:
        aws.faults.remove(slow)
    there = {name for name in names if name in results}
    assert len(there) == 4, "the step has four tasks"
    assert results == [n if n in there else "StatusCode.NOT_FOUND" for n in names * 2]
    calls = operations_since(aws, since)
    assert "BatchGetTask" in calls
    assert len(calls) < 20


def test_the_client_sets_max_age(aws: Emulator) -> None:
    settings = settings_for(aws.endpoint_url, default_max_age_seconds=60)
    with running_server(settings) as address, connect(str(address)) as client:
        since = aws.request_count
        first = client.get_task(NAME)
        assert client.get_task(NAME, max_age=30).observe_time == first.observe_time
        assert client.get_task(NAME, max_age=0).observe_time != first.observe_time
    assert operations_since(aws, since) == ["GetTask", "GetTask"]
