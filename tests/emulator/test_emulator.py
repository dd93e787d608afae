from __future__ import annotations

import gc
import http.client
import json
import socket
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from taskgate_emulator import Emulator, ManualClock
from taskgate_emulator.seeds.ids import (
    FAILED_TASK_ID,
    RUN_ID,
    RUNNING_TASK_ID,
)
from taskgate_server.aws.model import OperationModel, StructureShape, is_required, load_service

Ids = dict[str, str]
MODELLED = [
    pytest.param(service, operation, shape.name, id=f"{operation}-{shape.name}")
    for service, operation in (("deadline", "UpdateTask"), ("omics", "GetRunTask"))
    for shape in load_service(service).operation_model(operation).error_shapes
]


def get(aws: Emulator, path: str, **headers: str) -> tuple[int, dict[str, Any], Any]:
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint_url).netloc)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, dict(response.headers), body


def test_stop_closes_sockets_and_ends_the_thread() -> None:
    before = set(threading.enumerate())
    with Emulator() as aws:
        address = urlsplit(aws.endpoint_url)
        assert address.hostname == "127.0.0.1"
        idle = http.client.HTTPConnection(address.netloc)
        idle.request("GET", "/run", headers={"Authorization": "any"})
        assert idle.getresponse().read()
    assert not set(threading.enumerate()) - before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port or 0))
    idle.close()
    with pytest.raises(RuntimeError, match="is not running"):
        _ = aws.endpoint_url
    aws.stop()


def test_stop_closes_the_connection_of_a_client_that_does_not_read() -> None:
    with Emulator() as aws:
        aws.respond("omics", "GetReadSet", body=bytes(16 * 1024 * 1024))
        address = urlsplit(aws.endpoint_url)
        client = socket.create_connection((address.hostname or "", address.port or 0))
        client.sendall(
            b"GET /sequencestore/1234567890/readset/1234567890?partNumber=1 HTTP/1.1\r\n"
            b"Host: omics\r\nAuthorization: any\r\n\r\n"
        )
        assert client.recv(1)
    gc.collect()  # an open transport would warn
    with client:
        received = 1
        with suppress(ConnectionResetError):
            while data := client.recv(1 << 20):
                received += len(data)
        assert received < 16 * 1024 * 1024


def test_emulator_restarts_with_its_state() -> None:
    aws = Emulator(clock=ManualClock())
    for _ in range(2):
        with aws:
            assert get(aws, f"/run/{RUN_ID}", Authorization="any")[0] == 200
            with pytest.raises(RuntimeError, match="already running"):
                aws.start()


def test_start_raises_when_the_address_is_in_use(aws: Emulator) -> None:
    before = threading.active_count()
    other = Emulator(port=urlsplit(aws.endpoint_url).port or 0)
    with pytest.raises(OSError, match="in use"):
        other.start()
    with pytest.raises(OverflowError):
        Emulator(port=99_999).start()
    assert threading.active_count() == before


def test_two_emulators_share_nothing(render: Ids, connect: Any) -> None:
    with Emulator() as one, Emulator() as two:
        connect(one, "deadline").update_task(
            **render, taskId=FAILED_TASK_ID, targetRunStatus="SUCCEEDED"
        )
        task = connect(two, "deadline").get_task(**render, taskId=FAILED_TASK_ID)
    assert task["runStatus"] == "FAILED"


def test_speed_shortens_tasks(render: Ids, connect: Any, clock: ManualClock) -> None:
    with Emulator(clock=clock, speed=45) as aws:
        client = connect(aws, "deadline")
        clock.advance(1)
        task = client.get_task(**render, taskId=RUNNING_TASK_ID)
    assert (task["runStatus"], task["endedAt"]) == ("SUCCEEDED", clock())
    with pytest.raises(ValueError, match="speed"):
        Emulator(speed=0)


def test_emulator_without_the_demo_is_empty(connect: Any) -> None:
    with Emulator(seed="empty") as aws:
        assert connect(aws, "deadline").list_farms()["farms"] == []
        assert connect(aws, "omics").list_runs()["items"] == []


def test_unsigned_request_is_rejected(aws: Emulator) -> None:
    status, headers, body = get(aws, f"/run/{RUN_ID}")
    assert status == 403
    assert headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"
    assert body == {"message": "Missing Authentication Token"}
    assert get(aws, f"/run/{RUN_ID}?X-Amz-Signature=abc")[0] == 200


def test_oversized_body_is_rejected(aws: Emulator) -> None:
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint_url).netloc)
    connection.request(
        "POST", "/2023-10-12/batch-get-task", body=b" " * 5_000_000, headers={"Authorization": "a"}
    )
    response = connection.getresponse()
    assert response.status == 413
    assert response.headers["x-amzn-ErrorType"] == "RequestEntityTooLarge"
    assert response.headers["x-amzn-RequestId"]
    connection.close()


def test_requests_are_recorded_unchanged(aws: Emulator, deadline: Any, render: Ids) -> None:
    deadline.list_tasks(**render, maxResults=2)
    deadline.update_task(
        **render, taskId=FAILED_TASK_ID, targetRunStatus="SUCCEEDED", clientToken="abc"
    )
    listed, updated = aws.requests
    assert (listed.method, listed.service, listed.operation) == ("GET", "deadline", "ListTasks")
    assert listed.raw_path.endswith("/tasks")
    assert listed.query == "maxResults=2"
    assert updated.headers["x-amz-client-token"] == "abc"
    assert json.loads(updated.body) == {"targetRunStatus": "SUCCEEDED"}


def test_canned_responses_precede_the_emulated_one(
    aws: Emulator, deadline: Any, render: Ids
) -> None:
    aws.respond("deadline", "GetTask", body={"taskId": "task-x", "runStatus": "BRAND_NEW"})
    aws.respond(
        "deadline",
        "GetTask",
        status=429,
        headers={"x-amzn-ErrorType": "ThrottlingException", "Retry-After": "7"},
        body={"message": "slow down"},
        times=2,
    )
    assert deadline.get_task(**render, taskId=FAILED_TASK_ID)["runStatus"] == "BRAND_NEW"
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            deadline.get_task(**render, taskId=FAILED_TASK_ID)
        response: Any = caught.value.response
        assert response["retryAfterSeconds"] == 7
    assert deadline.get_task(**render, taskId=FAILED_TASK_ID)["runStatus"] == "FAILED"
    with pytest.raises(ValueError, match="no operation GetTusk"):
        aws.respond("deadline", "GetTusk")


@pytest.mark.parametrize(("service", "operation", "code"), MODELLED)
def test_every_modelled_error_can_be_injected(
    aws: Emulator, connect: Any, service: str, operation: str, code: str
) -> None:
    model: OperationModel = load_service(service).operation_model(operation)
    shape = load_service(service).shape_for(code)
    assert isinstance(shape, StructureShape)
    client = connect(aws, service)
    aws.fail(service, operation, code, message="on purpose", members={"retryAfterSeconds": 3})
    required = model.input_shape.required_members if model.input_shape else []

    with pytest.raises(client.exceptions.from_code(code)) as caught:
        getattr(client, {"UpdateTask": "update_task", "GetRunTask": "get_run_task"}[operation])(
            **dict.fromkeys(required, "1")
        )

    response = caught.value.response
    assert response["Error"]["Message"] == "on purpose"
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == shape.metadata["error"]["httpStatusCode"]
    for member in shape.members:
        assert member in response or not is_required(shape, member)
    assert ("retryAfterSeconds" in response) == ("retryAfterSeconds" in shape.members)


def test_internal_failure_hides_its_details(
    aws: Emulator, omics: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = 7
    aws.edit(lambda account: account.put("omics.RunGroup", ("1",), broken))
    with pytest.raises(ClientError) as caught:
        omics.list_run_groups()
    assert caught.value.response["Error"]["Code"] == "InternalFailure"
    assert "Traceback" not in str(caught.value.response)
    assert "the emulator failed at GET /runGroup" in caplog.text


def test_ids_are_the_same_at_each_start() -> None:
    def request_ids() -> list[str]:
        with Emulator(clock=ManualClock()) as aws:
            return [get(aws, "/run", Authorization="a")[1]["x-amzn-RequestId"] for _ in range(3)]

    first = request_ids()
    assert first == request_ids()
    assert len(set(first)) == 3
