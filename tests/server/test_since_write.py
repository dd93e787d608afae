"""Reads through one replica after a write through another, over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import (
    task_log_pb2,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    task_update_pb2,
    task_watch_pb2,
)
from taskgate_client import CallError, connect
from taskgate_emulator import Emulator
from taskgate_emulator.core.clock import ManualClock
from tests.support.aws_requests import operations_since
from tests.support.polling import wait_until
from tests.support.running_server import running_server, settings_for
from tests.support.server_process import is_serving

SECONDS = 15.0
Metadata: TypeAlias = tuple[tuple[str, str], ...]
NOW: Metadata = (("taskgate-since-write", "0"),)
MINUTE = Duration(seconds=60)


@dataclass
class Replica:
    """A server, and stubs for it."""

    tasks: Any
    deadline: Any


@dataclass
class Replicas:
    """Two servers on one AWS that share nothing, and a suspended task."""

    aws: Emulator
    first: Replica
    second: Replica
    ids: dict[str, str]
    addresses: str
    """Of both, as a gRPC target."""

    @property
    def job(self) -> str:
        return "deadline/farms/{farm_id}/queues/{queue_id}/jobs/{job_id}".format(**self.ids)

    @property
    def name(self) -> str:
        return self.job + "/steps/{step_id}/tasks/{task_id}".format(**self.ids)

    def retry(self) -> None:
        """Write through the first replica."""
        self.first.tasks.RetryTask(task_update_pb2.RetryTaskRequest(name=self.name))


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    with ExitStack() as stack:
        aws = stack.enter_context(Emulator(clock=ManualClock()))
        job = aws.jobs.add([1], status="SUSPENDED")
        task = job.task(0)
        names = {"farmId": "farm_id", "queueId": "queue_id", "jobId": "job_id"}
        names |= {"stepId": "step_id", "taskId": "task_id"}
        both: list[Replica] = []
        addresses = []
        for _ in range(2):
            settings = settings_for(aws.endpoint_url, default_max_age_seconds=60)
            address = stack.enter_context(running_server(settings))
            addresses.append(str(address))
            wait_until(partial(is_serving, str(address)))
            channel = stack.enter_context(grpc.insecure_channel(str(address)))
            both.append(
                Replica(
                    task_service_pb2_grpc.TaskServiceStub(channel),
                    deadline_pb2_grpc.DeadlineServiceStub(channel),
                )
            )
        first, second = both
        ids = {names[member]: task[member] for member in names}
        yield Replicas(aws, first, second, ids, f"ipv4:{','.join(addresses)}")


def get(replica: Replica, case: Replicas, metadata: Metadata) -> int:
    request = task_service_pb2.GetTaskRequest(name=case.name, max_age=MINUTE)
    response = replica.tasks.GetTask(request, metadata=metadata)
    return int(response.task.state)


def batch_get(replica: Replica, case: Replicas, metadata: Metadata) -> int:
    request = task_service_pb2.BatchGetTasksRequest(names=[case.name])
    response = replica.tasks.BatchGetTasks(request, metadata=metadata)
    return int(response.results[0].task.state)


def list_tasks(replica: Replica, case: Replicas, metadata: Metadata) -> int:
    request = task_service_pb2.ListTasksRequest(parent=case.job)
    response = replica.tasks.ListTasks(request, metadata=metadata)
    return int(response.tasks[0].state)


def summarize(replica: Replica, case: Replicas, metadata: Metadata) -> int:
    request = task_service_pb2.SummarizeTasksRequest(parent=case.job)
    response = replica.tasks.SummarizeTasks(request, metadata=metadata)
    return int(response.counts.states[0].state)


def aws_get(replica: Replica, case: Replicas, metadata: Metadata) -> int:
    response = replica.deadline.GetTask(deadline_pb2.GetTaskRequest(**case.ids), metadata=metadata)
    is_suspended = response.run_status == deadline_pb2.TASK_RUN_STATUS_SUSPENDED
    return task_pb2.TASK_STATE_SUSPENDED if is_suspended else task_pb2.TASK_STATE_PENDING


READS = [get, batch_get, list_tasks, summarize, aws_get]


@pytest.mark.parametrize("read", READS)
def test_a_read_shows_a_write_through_another_replica(
    replicas: Replicas, read: Callable[[Replica, Replicas, Metadata], int]
) -> None:
    assert read(replicas.second, replicas, ()) == task_pb2.TASK_STATE_SUSPENDED
    replicas.retry()
    assert read(replicas.second, replicas, ()) == task_pb2.TASK_STATE_SUSPENDED, "it is cached"
    assert read(replicas.second, replicas, NOW) == task_pb2.TASK_STATE_PENDING


def test_a_client_that_calls_replicas_in_turn_reads_its_own_writes(replicas: Replicas) -> None:
    with connect(replicas.addresses, balance=True) as client:
        for _ in range(20):
            client.retry_task(replicas.name)
            states = [client.get_task(replicas.name, max_age=60).state for _ in range(2)]
            assert states == [task_pb2.TASK_STATE_PENDING] * 2
            client.suspend_task(replicas.name)
            states = [client.get_task(replicas.name, max_age=60).state for _ in range(2)]
            assert states == [task_pb2.TASK_STATE_SUSPENDED] * 2


def test_older_writes_need_no_call_to_aws(replicas: Replicas) -> None:
    get(replicas.second, replicas, ())
    since = replicas.aws.request_count
    get(replicas.second, replicas, (("taskgate-since-write", "299.5"),))
    assert operations_since(replicas.aws, since) == []


def test_a_log_is_found_after_a_write(replicas: Replicas) -> None:
    request = task_log_pb2.StreamTaskLogsRequest(name=replicas.name)

    def calls(metadata: Metadata) -> list[str]:
        since = replicas.aws.request_count
        list(replicas.second.tasks.StreamTaskLogs(request, metadata=metadata, timeout=SECONDS))
        return operations_since(replicas.aws, since)

    first = calls(())
    assert first
    assert calls(()) == [], "the responses are cached"
    assert calls(NOW) == first


def first_states(replica: Replica, metadata: Metadata, **request: Any) -> list[int]:
    """Return the states in the snapshot of a watch."""
    stream = replica.tasks.WatchTasks(
        task_watch_pb2.WatchTasksRequest(**request), metadata=metadata, timeout=SECONDS
    )
    states: list[int] = []
    for response in stream:
        states += [task.state for task in response.snapshot_tasks.tasks]
        if response.HasField("snapshot_end"):
            break
    stream.cancel()
    return states


@pytest.mark.parametrize("watched", ["parent", "names"])
def test_a_watch_begins_after_a_write_through_another_replica(
    replicas: Replicas, watched: str
) -> None:
    request: dict[str, Any] = {"parent": replicas.job, "names": [replicas.name]}
    request = {watched: request[watched]}
    watch = task_watch_pb2.WatchTasksRequest(**request)
    open_watch = replicas.second.tasks.WatchTasks(watch, timeout=SECONDS)
    next(open_watch)  # its poller shares its snapshot with all watches of the next second
    replicas.retry()
    assert first_states(replicas.second, NOW, **request) == [task_pb2.TASK_STATE_PENDING]
    open_watch.cancel()


def test_a_watch_resumes_with_a_write_through_another_replica(replicas: Replicas) -> None:
    request = task_watch_pb2.WatchTasksRequest(parent=replicas.job)
    stream = replicas.second.tasks.WatchTasks(request, timeout=SECONDS)
    request.resume_token = next(each.resume_token for each in stream if each.resume_token)
    stream.cancel()
    replicas.retry()
    stream = replicas.second.tasks.WatchTasks(request, metadata=NOW, timeout=SECONDS)
    assert next(stream).HasField("resumed")
    assert next(stream).task_change.task.state == task_pb2.TASK_STATE_PENDING
    stream.cancel()


@pytest.mark.parametrize("watched", ["parent", "names"])
def test_a_watch_does_not_begin_before_the_write_while_aws_fails(
    replicas: Replicas, watched: str
) -> None:
    request: dict[str, Any] = {"parent": replicas.job, "names": [replicas.name]}
    request = {watched: request[watched]}
    first_states(replicas.second, (), **request)
    replicas.retry()
    replicas.aws.faults.add(kind="internal")
    assert first_states(replicas.second, (), **request) == [task_pb2.TASK_STATE_SUSPENDED]
    with pytest.raises(grpc.RpcError) as raised:
        first_states(replicas.second, NOW, **request)
    assert CallError.of(raised.value).code is grpc.StatusCode.INTERNAL


def test_a_wait_does_not_end_with_the_state_before_the_write(replicas: Replicas) -> None:
    request = task_watch_pb2.WaitTaskRequest(name=replicas.name, max_wait=Duration(seconds=1))
    assert replicas.second.tasks.WaitTask(request, timeout=SECONDS).done
    replicas.retry()
    response = replicas.second.tasks.WaitTask(request, metadata=NOW, timeout=SECONDS)
    assert response.task.state == task_pb2.TASK_STATE_PENDING
    assert not response.done


def test_a_wait_does_not_end_with_the_state_before_the_write_while_aws_fails(
    replicas: Replicas,
) -> None:
    request = task_watch_pb2.WaitTaskRequest(name=replicas.name, max_wait=Duration(seconds=1))
    assert replicas.second.tasks.WaitTask(request, timeout=SECONDS).done
    replicas.retry()
    replicas.aws.faults.add(kind="internal")
    with pytest.raises(grpc.RpcError) as raised:
        replicas.second.tasks.WaitTask(request, metadata=NOW, timeout=2)
    assert CallError.of(raised.value).code is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", ""])
def test_a_malformed_time_is_refused(replicas: Replicas, value: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        get(replicas.second, replicas, (("taskgate-since-write", value),))
    error = CallError.of(raised.value)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations[0].field == "taskgate-since-write"
