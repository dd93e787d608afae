"""One odd row of an AWS list, and responses that are none: what callers of TaskService see."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import pytest

from taskgate.deadline.v1 import deadline_pb2, deadline_pb2_grpc
from taskgate.omics.v1 import omics_pb2, omics_pb2_grpc
from taskgate.v1 import task_service_pb2, task_service_pb2_grpc, task_watch_pb2
from taskgate_client import CallError
from taskgate_emulator import Emulator
from taskgate_emulator.seeds import ids as seed
from tests.support.demo_names import STEP
from tests.support.metered_server import metered_server
from tests.support.running_server import running_server, settings_for

ROWS = 5
ODD_ROW = 2
ODD: dict[str, dict[str, Any]] = {
    "boolean parameter": {"parameters": {"X": {"int": True}}},
    "number parameter": {"parameters": {"X": {"int": 7}}},
    "null parameter": {"parameters": {"X": {"string": None}}},
    "parameters list": {"parameters": []},
    "count text": {"failureRetryCount": "3"},
    "count boolean": {"failureRetryCount": True},
    "count too large": {"failureRetryCount": 2**40},
    "status null": {"runStatus": None},
    "status number": {"runStatus": 5},
    "status list": {"runStatus": []},
    "creator boolean": {"createdBy": True},
    "half a pair": {"createdBy": "\ud800"},
    "id number": {"taskId": 7},
    **{
        f"created {text!r}": {"createdAt": text}
        for text in (
            *("yesterday", "", "10000-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "2022-11-30"),
            *("2022-11-30T10:00:00Z ", "2022-11-30 10:00:00 UTC"),
        )
    },
    "created object": {"createdAt": {}},
    "new member": {"newMember": {"deep": [1]}},
}


def task_id(number: int) -> str:
    return f"task-{number:032x}-0"


def rows(odd: dict[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {
            "taskId": task_id(number),
            "createdAt": "2026-03-02T09:30:15Z",
            "createdBy": "me",
            "runStatus": "RUNNING",
        }
        for number in range(ROWS)
    ]
    made[ODD_ROW] |= odd
    return made


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Emulator, task_service_pb2_grpc.TaskServiceStub]]:
    with (
        Emulator() as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        yield aws, task_service_pb2_grpc.TaskServiceStub(channel)


@contextmanager
def listing(aws: Emulator, odd: dict[str, Any]) -> Iterator[None]:
    """Has AWS list tasks of which one has odd values."""
    body = json.dumps({"tasks": rows(odd)}).encode()
    aws.respond("deadline", "ListTasks", body=body, times=10_000)
    try:
        yield
    finally:
        aws.discard("deadline", "ListTasks")


@pytest.mark.parametrize("odd", ODD)
def test_list_returns_rows_with_odd_values(
    served: tuple[Emulator, task_service_pb2_grpc.TaskServiceStub], odd: str
) -> None:
    aws, stub = served
    with listing(aws, ODD[odd]):
        response = stub.ListTasks(task_service_pb2.ListTasksRequest(parent=STEP))
        stub.SummarizeTasks(task_service_pb2.SummarizeTasksRequest(parent=STEP))
    names = [task.name.rpartition("/")[2] for task in response.tasks]
    expected = [task_id(number) for number in range(ROWS)]
    expected[ODD_ROW] = str(ODD[odd].get("taskId", expected[ODD_ROW]))
    assert names == expected


def test_watch_returns_rows_with_odd_values() -> None:
    listed = [{**rows({})[0], "taskId": task_id(n), **odd} for n, odd in enumerate(ODD.values())]
    with (
        Emulator() as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        aws.respond("deadline", "ListTasks", body=json.dumps({"tasks": listed}).encode(), times=99)
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        stream = stub.WatchTasks(task_watch_pb2.WatchTasksRequest(parent=STEP), timeout=20)
        names: set[str] = set()
        for event in stream:
            names.update(task.name.rpartition("/")[2] for task in event.snapshot_tasks.tasks)
            if event.HasField("snapshot_end"):
                break
        stream.cancel()
    assert names == {str(row["taskId"]) for row in listed}


def test_row_without_an_id_is_reported(
    served: tuple[Emulator, task_service_pb2_grpc.TaskServiceStub],
) -> None:
    aws, stub = served
    with listing(aws, {"taskId": None}), pytest.raises(grpc.RpcError) as raised:
        stub.ListTasks(task_service_pb2.ListTasksRequest(parent=STEP))
    assert CallError.of(raised.value).reason == "UPSTREAM_RESPONSE_UNREADABLE"


def test_odd_values_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with Emulator() as aws, metered_server(aws.endpoint_url) as server:
        body = json.dumps({"id": "1", "parameters": {"seed": 2**60, "name": "secret"}}).encode()
        aws.respond("omics", "GetRun", body=body, times=3)
        with grpc.insecure_channel(server.address) as channel:
            stub = omics_pb2_grpc.OmicsServiceStub(channel)
            for _ in range(3):
                run = stub.GetRun(omics_pb2.GetRunRequest(id=seed.RUN_ID))
        assert run.parameters.struct_value["seed"] == str(2**60)
        labels = {"service": "omics", "operation": "GetRun", "target": "default"}
        assert server.value("taskgate_aws_odd_values_total", **labels) == 3
    lines = [record for record in caplog.records if record.message.startswith("odd value")]
    assert [vars(line)["member"] for line in lines] == ["GetRunResponse.parameters"]
    assert "secret" not in str([vars(line) for line in lines])


class Raw:
    """An AWS that sends bytes as they are, and keeps its connections."""

    def __init__(self, *responses: bytes) -> None:
        self._responses = list(responses)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._connections: list[socket.socket] = []

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Raw:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while b"\r\n\r\n" in connection.recv(65536):
                connection.sendall(self._responses.pop(0))


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def test_an_interim_response_is_not_the_response() -> None:
    """The final response follows it: RFC 9110, section 15.2."""
    with (
        Raw(EARLY + http("200 OK", b'{"displayName": "mine"}')) as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        request = deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID)
        assert stub.GetFarm(request, timeout=10).display_name == "mine"


def test_an_empty_response_is_not_an_empty_resource() -> None:
    with (
        Raw(http("200 OK", b""), http("200 OK", b'{"displayName": "mine"}')) as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        request = deadline_pb2.GetFarmRequest(farm_id=seed.FARM_ID)
        with pytest.raises(grpc.RpcError) as raised:
            stub.GetFarm(request, timeout=10)
        assert CallError.of(raised.value).reason == "UPSTREAM_RESPONSE_UNREADABLE"
        assert stub.GetFarm(request, timeout=10).display_name == "mine"


def test_an_empty_response_of_an_operation_without_output() -> None:
    with (
        Raw(http("200 OK", b"")) as aws,
        running_server(settings_for(aws.endpoint_url)) as address,
        grpc.insecure_channel(str(address)) as channel,
    ):
        stub = deadline_pb2_grpc.DeadlineServiceStub(channel)
        stub.UpdateFarm(deadline_pb2.UpdateFarmRequest(farm_id=seed.FARM_ID), timeout=10)
