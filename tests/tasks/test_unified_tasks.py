"""TaskService over the wire: the same tasks in the shared vocabulary."""

from __future__ import annotations

import time

import grpc
import pytest

from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_client import CallError, Client, DeadlineTaskName, OmicsTaskName
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from taskgate_server.aws import model
from taskgate_server.services.registry import SERVICES
from taskgate_server.tasks.backend import load_backend
from tests.support.polling import becomes_true


def deadline_name(step: str, task: str) -> DeadlineTaskName:
    return DeadlineTaskName(seed.FARM_ID, seed.QUEUE_ID, seed.JOB_ID, step, task)


FAILED = deadline_name(seed.RENDER_STEP_ID, seed.FAILED_TASK_ID)
EVERY_PARAMETER = deadline_name(seed.SIMULATE_STEP_ID, seed.EVERY_PARAMETER_TASK_ID)
FAILED_RUN_TASK = OmicsTaskName(seed.RUN_ID, seed.FAILED_RUN_TASK_ID)


def test_deadline_task(client: Client) -> None:
    before = time.time()
    task = client.get_task(FAILED)
    assert task.name == str(FAILED)
    assert (task.state, task.native_state) == (task_pb2.TASK_STATE_FAILED, "FAILED")
    assert task.WhichOneof("native") == "deadline"
    assert task.create_time == task.deadline.created_at
    assert task.start_time == task.deadline.started_at
    assert task.end_time == task.deadline.ended_at
    assert task.update_time == task.deadline.updated_at
    assert task.retry_count == task.deadline.failure_retry_count > 0
    assert task.HasField("target_state")
    assert before <= task.observe_time.seconds + task.observe_time.nanos / 1e9 <= time.time()
    assert not task.HasField("resources")
    assert not task.HasField("display_name")


def test_parameters_keep_kind_and_text(client: Client) -> None:
    task = client.get_task(EVERY_PARAMETER)
    assert set(task.parameters) == set(task.deadline.parameters)
    for name, value in task.parameters.items():
        native = task.deadline.parameters[name]
        kind = value.WhichOneof("value")
        assert kind == native.WhichOneof("value")
        assert kind is not None
        assert getattr(value, kind) == getattr(native, kind)


def test_omics_task(client: Client) -> None:
    task = client.get_task(FAILED_RUN_TASK)
    assert (task.state, task.native_state) == (task_pb2.TASK_STATE_FAILED, "FAILED")
    assert task.WhichOneof("native") == "omics"
    assert task.display_name == task.omics.name
    assert task.create_time == task.omics.creation_time
    assert task.end_time == task.omics.stop_time
    assert task.failure_reason == task.omics.failure_reason
    assert task.status_message == task.omics.status_message
    resources = task.resources
    assert (resources.cpus, resources.memory_gib) == (task.omics.cpus, task.omics.memory)
    assert (resources.gpus, resources.instance_type) == (task.omics.gpus, task.omics.instance_type)
    assert not task.HasField("retry_count")
    assert not task.HasField("update_time")


def test_unknown_native_state_is_returned_as_it_is(aws: Emulator, client: Client) -> None:
    aws.respond("omics", "GetRunTask", body={"taskId": "1", "status": "HIBERNATING"})
    task = client.get_task(FAILED_RUN_TASK)
    assert task.state == task_pb2.TASK_STATE_UNRECOGNIZED
    assert task.native_state == "HIBERNATING"
    assert task.omics.unrecognized_values == {"status": "HIBERNATING"}


def test_unknown_parameter_kind_is_returned_by_name(aws: Emulator, client: Client) -> None:
    body = {"taskId": FAILED.task, "parameters": {"Grid": {"matrix": "1 0 0 1"}}}
    aws.respond("deadline", "GetTask", body=body)
    assert client.get_task(FAILED).parameters["Grid"].unknown_member == "matrix"


@pytest.mark.parametrize(
    ("service", "operation", "member"),
    [("deadline", "GetTask", "runStatus"), ("omics", "GetRunTask", "status")],
)
def test_every_native_state_of_the_model_has_a_state(
    aws: Emulator, client: Client, service: str, operation: str, member: str
) -> None:
    shape = model.load_service(service).operation_model(operation).output_shape
    assert shape is not None
    name = FAILED if service == "deadline" else FAILED_RUN_TASK
    unknown = (task_pb2.TASK_STATE_UNRECOGNIZED, task_pb2.TASK_STATE_UNSPECIFIED)
    for word in model.enum_values(shape.members[member]):
        aws.respond(service, operation, body={"taskId": "1", member: word})
        task = client.get_task(name)
        assert task.state not in unknown, word
        assert task.native_state == word


@pytest.mark.parametrize(
    "name",
    [
        "",
        "batch/jobs/1",
        "omics/runs/1/tasks",
        "omics/runs/1/tasks/2/attempts/3",
        "omics/runs//tasks/2",
        "omics/runs/../tasks/2",
        "omics/runs/1%2F2/tasks/2",
        "omics/runs/1/tasks/GATK",
        str(FAILED).replace("farm-", "form-"),
        str(FAILED) + "\n",
    ],
)
def test_malformed_name_is_refused_without_an_aws_call(
    aws: Emulator, client: Client, name: str
) -> None:
    count = aws.request_count
    with pytest.raises(CallError) as raised:
        client.get_task(name)
    error = raised.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == ["name"]
    assert "/runs/{id}/tasks/{taskId}" in error.message or "/farms/{farmId}/" in error.message
    assert aws.request_count == count


def test_unknown_task_is_not_found(client: Client) -> None:
    with pytest.raises(CallError) as raised:
        client.get_task(OmicsTaskName(seed.RUN_ID, "404"))
    assert raised.value.code is grpc.StatusCode.NOT_FOUND
    with pytest.raises(CallError) as raised:
        client.get_task(deadline_name(seed.RENDER_STEP_ID, "task-" + "0" * 32 + "-0"))
    assert raised.value.code is grpc.StatusCode.NOT_FOUND
    assert raised.value.resource is not None
    assert raised.value.resource[0] == "task"


def test_server_info(client: Client) -> None:
    # A server that has just started has not yet checked whether AWS can be reached.
    assert becomes_true(lambda: all(each.ready for each in client.get_server_info().aws_services))
    info = client.get_server_info()
    assert [each.name for each in info.aws_services] == sorted(spec.name for spec in SERVICES)
    for each in info.aws_services:
        assert each.region == "us-west-2"
        assert each.operation_count == len(model.operations(model.load_service(each.name)))
        assert list(each.task_methods) == sorted(each.task_methods)
    methods = {each.name: set(each.task_methods) for each in info.aws_services}
    assert methods["deadline"] - methods["omics"] == {
        *("CancelTask", "RetryTask", "SuspendTask"),
        "BatchUpdateTasks",
    }
    assert methods["omics"] < methods["deadline"]
    service = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
    assert methods["deadline"] == {method.name for method in service.methods} - {"GetServerInfo"}
    [target] = info.targets
    assert target.name == "default"
    assert [(each.name, each.region, each.ready) for each in target.services] == [
        (each.name, "us-west-2", True) for each in info.aws_services
    ]


def test_client_and_server_have_the_same_names() -> None:
    for spec, name in zip(SERVICES, (FAILED, FAILED_RUN_TASK), strict=True):
        template = load_backend(spec).names
        values = template.parse(str(name), "name")
        assert template.format(values) == str(name)
