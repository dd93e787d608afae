"""The audit: one line for each call that writes or is denied, and none for another that reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_service_pb2, task_update_pb2
from taskgate_client import CallError, Client, DeadlineTaskName, connect
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.auth import actions
from taskgate_server.auth.actions import action_of
from taskgate_server.calls import CallContext, Rpc
from taskgate_server.rpc.handlers import load_contract
from taskgate_server.services.registry import SERVICES
from tests.support.calls import make_call
from tests.support.running_server import running_server, settings_for

NAME = DeadlineTaskName(
    seed.FARM_ID, seed.QUEUE_ID, seed.JOB_ID, seed.RENDER_STEP_ID, seed.FAILED_TASK_ID
)
SECRET = "/mnt/shots/secret"
METHODS = {
    f"{service.full_name}/{method.name}": GetMessageClass(method.input_type)
    for service in [
        *(load_contract(spec) for spec in SERVICES),
        task_service_pb2.DESCRIPTOR.services_by_name["TaskService"],
    ]
    for method in service.methods
}


@pytest.fixture(autouse=True)
def audit_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "taskgate.audit")  # as `set_up_logging` has it


@pytest.fixture
def caller() -> Iterator[Client]:
    with (
        Emulator() as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        connect(str(address)) as client,
    ):
        yield client


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(line) for line in caplog.records if line.msg == "audit"]


async def nothing(request: Any, call: CallContext) -> Any:
    del call
    return request


@pytest.mark.parametrize("method", METHODS)
async def test_exactly_the_methods_that_the_policy_does_not_count_as_reads_are_audited(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    from taskgate_server.pipeline.audit import Audit  # noqa: PLC0415  # with the contracts

    kind = METHODS[method]
    rpc = Rpc(method=method, request_class=kind, response_class=kind, behaviour=nothing)
    call = await Audit().enter(make_call(rpc=rpc))
    for end in call.record.ends:
        end(call)
    is_read = action_of(method).group == "read"
    assert (audit_lines(caplog) == []) == is_read
    assert actions.is_read(method) == is_read


def test_aws_write_is_audited_with_its_ids(
    caller: Client, caplog: pytest.LogCaptureFixture
) -> None:
    update = deadline_pb2.UpdateFarmRequest(farm_id=seed.FARM_ID, description=SECRET)
    caller.deadline.UpdateFarm(update)
    [line] = audit_lines(caplog)
    assert line["method"] == "taskgate.deadline.v1.DeadlineService/UpdateFarm"
    assert (line["group"], line["code"], line["error_reason"]) == ("write", "OK", "")
    assert line["resources"] == [f"deadline/{seed.FARM_ID}"]
    assert line["aws_request_id"]
    assert SECRET not in str(line)


def test_failed_write_is_audited_without_quoting_the_request(
    caller: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        caller.deadline.UpdateFarm(deadline_pb2.UpdateFarmRequest(farm_id=SECRET))
    [line] = audit_lines(caplog)
    assert line["code"] == "INVALID_ARGUMENT"
    assert line["resources"] == ["deadline/?"]
    assert SECRET not in str(line)


def test_unified_write_is_audited_once_and_reads_never(
    caller: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caller.get_task(NAME)
    caller.retry_task(NAME)
    with pytest.raises(CallError):
        caller.retry_task("omics/runs/1/tasks/2")
    first, second = audit_lines(caplog)
    assert first["method"] == "taskgate.v1.TaskService/RetryTask"
    assert (first["code"], second["code"]) == ("OK", "FAILED_PRECONDITION")
    assert first["actions"] == {"TASK_ACTION_RETRY": 1}
    assert second["resources"] == ["omics/1/2"]


@pytest.mark.parametrize("count", [1001, 1500])
def test_write_with_too_many_resources_is_audited_with_their_number(
    caller: Client, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    tasks = [f"{NAME}{number}" for number in range(count)]
    updates = [task_update_pb2.TaskUpdate(name=task) for task in tasks]
    with pytest.raises(Exception, match="at most 1000 resources"):
        caller._tasks.BatchUpdateTasks(task_update_pb2.BatchUpdateTasksRequest(updates=updates))
    with pytest.raises(Exception, match="at most 1000 resources"):
        caller.omics.BatchDeleteReadSet(
            omics_pb2.BatchDeleteReadSetRequest(sequence_store_id="1" * 10, ids=tasks)
        )
    for line in audit_lines(caplog):
        assert (line["code"], line["resources"]) == ("INVALID_ARGUMENT", [])
    assert [line["resource_count"] for line in audit_lines(caplog)] == [count, count]
