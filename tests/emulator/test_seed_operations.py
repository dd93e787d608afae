"""GetTask and GetRunTask, field by field: a gRPC caller gets what boto3 returns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import grpc
import pytest
from botocore.config import Config
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from taskgate.deadline.v1 import deadline_pb2
from taskgate.omics.v1 import omics_pb2
from taskgate_client import CallError, Client, connect
from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds import ids as seed
from taskgate_server.aws import model
from tests.support.running_server import running_server, settings_for

DEADLINE_IDS = {"farmId": seed.FARM_ID, "queueId": seed.QUEUE_ID, "jobId": seed.JOB_ID}
STEPS = {
    seed.EVERY_PARAMETER_TASK_ID: seed.SIMULATE_STEP_ID,
    seed.GREAT_NUMBERS_TASK_ID: seed.SIMULATE_STEP_ID,
    seed.FAILED_TASK_ID: seed.RENDER_STEP_ID,
    seed.CANCELED_TASK_ID: seed.RENDER_STEP_ID,
    seed.PENDING_TASK_ID: seed.COMPOSITE_STEP_ID,
}
OMICS_TASKS = [
    seed.FAILED_RUN_TASK_ID,
    seed.CACHE_HIT_TASK_ID,
    seed.CPU_TASK_ID,
    seed.PENDING_RUN_TASK_ID,
]


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    """The demo at its start; the clock stands still."""
    with Emulator(clock=ManualClock()) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def client(aws: Emulator) -> Iterator[Client]:
    with (
        running_server(settings_for(aws.endpoint_url)) as address,
        connect(str(address)) as client,
    ):
        yield client


def boto3_client(service: str, aws: Emulator) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]  # stubs want a literal
        endpoint_url=aws.endpoint_url,
        region_name="us-west-2",
        config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
    )


def deadline_params(task: str) -> dict[str, str]:
    return {**DEADLINE_IDS, "stepId": STEPS[task], "taskId": task}


def deadline_request(task: str) -> deadline_pb2.GetTaskRequest:
    return deadline_pb2.GetTaskRequest(
        farm_id=seed.FARM_ID,
        queue_id=seed.QUEUE_ID,
        job_id=seed.JOB_ID,
        step_id=STEPS[task],
        task_id=task,
    )


def fields_of(message: Message) -> dict[str, Any]:
    """Return a message's set fields by AWS's names, with names of enum values and datetimes."""
    return {field.json_name: plain(field, value) for field, value in message.ListFields()}


def plain(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            seconds=value.seconds, microseconds=value.nanos / 1000
        )
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    if isinstance(value, Message):
        return fields_of(value)
    if field.message_type is not None:  # the one map here: parameters
        return {key: fields_of(each) for key, each in value.items()}
    return value


def expected_fields(service: str, operation: str, response: dict[str, Any]) -> dict[str, Any]:
    """Return boto3's result with the contract's names of enum values."""
    shape = model.load_service(service).operation_model(operation).output_shape
    assert shape is not None
    prefixes = {
        member: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", target.name).upper() + "_"
        for member, target in shape.members.items()
        if model.enum_values(target)
    }
    return {
        member: prefixes[member] + value if member in prefixes else value
        for member, value in response.items()
        if member != "ResponseMetadata"
    }


@pytest.mark.parametrize("task", STEPS)
def test_get_task_equals_boto3s_result(aws: Emulator, client: Client, task: str) -> None:
    response = boto3_client("deadline", aws).get_task(**deadline_params(task))
    message = client.deadline.GetTask(deadline_request(task))
    assert fields_of(message) == expected_fields("deadline", "GetTask", response)


def test_get_task_has_every_member_and_every_parameter_kind(client: Client) -> None:
    shape = model.load_service("deadline").operation_model("GetTask").output_shape
    assert shape is not None
    full = client.deadline.GetTask(deadline_request(seed.FAILED_TASK_ID))
    assert set(fields_of(full)) == set(shape.members)
    parameters = client.deadline.GetTask(deadline_request(seed.EVERY_PARAMETER_TASK_ID)).parameters
    kinds = {value.WhichOneof("value") for value in parameters.values()}
    assert kinds == {"int", "float", "string", "path", "chunk_int"}


def test_numbers_keep_every_digit(client: Client) -> None:
    parameters = client.deadline.GetTask(deadline_request(seed.GREAT_NUMBERS_TASK_ID)).parameters
    ints = [value.int for value in parameters.values() if value.HasField("int")]
    assert str(2**64 - 1) in ints


@pytest.mark.parametrize("task", OMICS_TASKS)
def test_get_run_task_equals_boto3s_result(aws: Emulator, client: Client, task: str) -> None:
    response = boto3_client("omics", aws).get_run_task(id=seed.RUN_ID, taskId=task)
    request = omics_pb2.GetRunTaskRequest(id=seed.RUN_ID, task_id=task)
    assert fields_of(client.omics.GetRunTask(request)) == expected_fields(
        "omics", "GetRunTask", response
    )


def test_get_run_task_has_every_member_and_all_image_details(client: Client) -> None:
    shape = model.load_service("omics").operation_model("GetRunTask").output_shape
    assert shape is not None
    request = omics_pb2.GetRunTaskRequest(id=seed.RUN_ID, task_id=seed.FAILED_RUN_TASK_ID)
    response = fields_of(client.omics.GetRunTask(request))
    assert set(response) == set(shape.members)
    details = shape.members["imageDetails"]
    assert isinstance(details, model.StructureShape)
    assert set(response["imageDetails"]) == set(details.members)


def test_absent_members_stay_absent(client: Client) -> None:
    pending = client.deadline.GetTask(deadline_request(seed.PENDING_TASK_ID))
    assert set(fields_of(pending)) == {"taskId", "createdAt", "createdBy", "runStatus"}
    assert not pending.HasField("started_at")
    assert not pending.HasField("failure_retry_count")


STATUS = {
    "AccessDeniedException": grpc.StatusCode.PERMISSION_DENIED,
    "ConflictException": grpc.StatusCode.FAILED_PRECONDITION,
    "InternalServerErrorException": grpc.StatusCode.INTERNAL,
    "InternalServerException": grpc.StatusCode.INTERNAL,
    "RequestTimeoutException": grpc.StatusCode.DEADLINE_EXCEEDED,
    "ResourceNotFoundException": grpc.StatusCode.NOT_FOUND,
    "ServiceQuotaExceededException": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "ThrottlingException": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "ValidationException": grpc.StatusCode.INVALID_ARGUMENT,
}


def modelled_errors(service: str, operation: str) -> list[str]:
    shapes = model.load_service(service).operation_model(operation).error_shapes
    return sorted(shape.name for shape in shapes)


@pytest.mark.parametrize("code", modelled_errors("deadline", "GetTask"))
def test_get_task_errors(aws: Emulator, client: Client, code: str) -> None:
    aws.fail("deadline", "GetTask", code)
    with pytest.raises(grpc.RpcError) as raised:
        client.deadline.GetTask(deadline_request(seed.FAILED_TASK_ID))
    check_error(raised.value, code, "deadline.amazonaws.com")


@pytest.mark.parametrize("code", modelled_errors("omics", "GetRunTask"))
def test_get_run_task_errors(aws: Emulator, client: Client, code: str) -> None:
    aws.fail("omics", "GetRunTask", code)
    request = omics_pb2.GetRunTaskRequest(id=seed.RUN_ID, task_id=seed.CPU_TASK_ID)
    with pytest.raises(grpc.RpcError) as raised:
        client.omics.GetRunTask(request)
    check_error(raised.value, code, "omics.amazonaws.com")


def check_error(error: grpc.RpcError, code: str, domain: str) -> None:
    call_error = CallError.of(error)
    assert call_error.code is STATUS[code]
    assert call_error.domain == domain
    assert call_error.reason.replace("_", "").lower() == code.lower()
    assert call_error.request_id


def test_the_two_pages_have_five_and_eight_exceptions() -> None:
    assert len(modelled_errors("deadline", "GetTask")) == 5
    assert len(modelled_errors("omics", "GetRunTask")) == 8
