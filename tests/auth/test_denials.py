"""The audit has a line for each denial, also of reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.demo_names import FAILED, JOB, RUN, RUNNING
from tests.support.running_server import running_server, settings_for

POLICY = f"""
permit (principal, action in [Action::"read", Action::"write"],
  resource in Deadline::Job::"{seed.JOB_ID}");
"""
SECONDS = 10.0
OTHER = f"{RUN}/tasks/7654321"


@pytest.fixture
def channel(aws: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    caplog.set_level("INFO", "taskgate.audit")
    file = tmp_path / "policy.cedar"
    file.write_text(POLICY)
    with (
        running_server(settings_for(aws.endpoint_url, policy_files=[file])) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield channel


def denied(call: Callable[[], object]) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(line) for line in caplog.records if line.msg == "audit"]


def test_denied_read_is_audited_and_allowed_read_is_not(
    channel: grpc.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    tasks.GetTask(task_service_pb2.GetTaskRequest(name=RUNNING), timeout=SECONDS)
    assert audit_lines(caplog) == []
    request = task_service_pb2.GetTaskRequest(name=OTHER)
    denied(lambda: tasks.GetTask(request, timeout=SECONDS))
    [line] = audit_lines(caplog)
    assert line["method"] == "taskgate.v1.TaskService/GetTask"
    assert (line["group"], line["code"]) == ("read", "PERMISSION_DENIED")
    assert (line["error_reason"], line["caller"]) == ("POLICY_DENIED", "Anonymous anonymous")
    assert line["resources"] == [f"omics/{seed.RUN_ID}/7654321"]


def test_denied_watch_aws_operation_and_batch_items_are_audited(
    channel: grpc.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    deadline: Any = deadline_pb2_grpc.DeadlineServiceStub(channel)
    watch = task_watch_pb2.WatchTasksRequest(parent=RUN)
    denied(lambda: next(tasks.WatchTasks(watch, timeout=SECONDS)))
    farm = deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID)
    denied(lambda: deadline.GetFarm(farm, timeout=SECONDS))
    names = [RUNNING, OTHER, FAILED]
    batch = task_service_pb2.BatchGetTasksRequest(names=names)
    results = tasks.BatchGetTasks(batch, timeout=SECONDS).results
    assert [bool(each.error.code) for each in results] == [False, True, False]
    lines = audit_lines(caplog)
    assert [line["method"].rpartition("/")[2] for line in lines] == [
        "WatchTasks",
        "GetFarm",
        "BatchGetTasks",
    ]
    assert (lines[2]["code"], lines[2]["denied_count"], lines[2]["resource_count"]) == ("OK", 1, 3)


def test_allowed_watch_is_not_audited(
    channel: grpc.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    tasks: Any = task_service_pb2_grpc.TaskServiceStub(channel)
    watch = tasks.WatchTasks(task_watch_pb2.WatchTasksRequest(parent=JOB), timeout=SECONDS)
    next(watch)
    watch.cancel()
    assert audit_lines(caplog) == []
