"""Unary calls over Connect, with Python's own HTTP client."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from google.rpc import error_details_pb2

from taskgate.v1 import task_service_pb2
from taskgate_server.ports import Address
from tests.support.demo_names import ABSENT, JOB, RUN, RUNNING
from tests.support.http_client import TASKS, call, get, request

GET_TASK = f"{TASKS}/GetTask"
PROTO = {"content-type": "application/proto"}


def test_a_task_is_read_in_json(http: Address) -> None:
    reply = call(http, GET_TASK, {"name": RUNNING})
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert reply.json["task"]["name"] == RUNNING
    assert reply.json["task"]["state"] == "TASK_STATE_RUNNING"


def test_a_task_is_read_in_protobuf(http: Address) -> None:
    message = task_service_pb2.GetTaskRequest(name=RUNNING).SerializeToString()
    reply = request(http, f"/{GET_TASK}", message, headers=PROTO)
    assert reply.headers["content-type"] == "application/proto"
    response = task_service_pb2.GetTaskResponse.FromString(reply.body)
    assert response.task.name == RUNNING


def test_a_read_may_be_a_get(http: Address) -> None:
    reply = get(http, GET_TASK, {"name": RUNNING})
    assert (reply.status, reply.json["task"]["name"]) == (200, RUNNING)
    assert reply.headers["cache-control"] == "no-store"
    native = get(http, "taskgate.omics.v1.OmicsService/GetRun", {"id": RUN.rpartition("/")[2]})
    assert native.status == 200


@pytest.mark.parametrize(
    "method",
    [
        f"{TASKS}/CancelTask",
        f"{TASKS}/WatchTasks",
        "taskgate.omics.v1.OmicsService/CancelRun",
        "taskgate.deadline.v1.DeadlineService/AssumeQueueRoleForRead",  # it returns credentials
    ],
)
def test_nothing_else_may_be_a_get(http: Address, method: str) -> None:
    reply = get(http, method, {})
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_an_error_has_the_details_that_it_has_over_grpc(http: Address) -> None:
    reply = call(http, GET_TASK, {"name": ABSENT})
    assert (reply.status, reply.json["code"]) == (404, "not_found")
    assert ABSENT.rpartition("/")[2] in reply.json["message"]
    first = reply.json["details"][0]
    assert first["type"] == "google.rpc.ErrorInfo"
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(first["value"] + "=="))
    assert info.reason == first["debug"]["reason"]
    assert reply.detail["google.rpc.RequestInfo"]["requestId"]
    assert reply.headers["trailer-grpc-retry-pushback-ms"] == "-1"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "JSON"),
        (b"7", "JSON"),
        (b"null", "JSON"),
        (b'{"name": 7}', "JSON"),
        (b'{"name": "a", "name": "b"}', "JSON"),
        (b'{"taskName": "a"}', 'has no field named "taskName"'),
        (b'{"name": "\xff"}', "JSON"),
        (b'{"view": "NO_SUCH_VIEW"}', "JSON"),
        (b'{"a":' * 20_000, "recursion"),
        (b'{"a":' * 100_000, "60000 values"),
        (b'{"name":' * 500 + b"1" + b"}" * 500, "JSON"),
        (b"1" * 10_000, "JSON"),
    ],
)
def test_malformed_json_is_refused(http: Address, body: bytes, fault: str) -> None:
    reply = request(http, f"/{GET_TASK}", body, headers={"content-type": "application/json"})
    assert (reply.status, reply.json["code"]) == (400, "invalid_argument")
    assert fault in reply.json["message"]
    assert reply.detail["google.rpc.ErrorInfo"]["reason"] == "INVALID_REQUEST"
    violations = reply.detail["google.rpc.BadRequest"]["fieldViolations"]
    assert fault in violations[0]["description"]


def test_malformed_protobuf_is_refused_with_details(http: Address) -> None:
    reply = request(http, f"/{GET_TASK}", b"\xff", headers=PROTO)
    assert (reply.status, reply.json["code"]) == (400, "invalid_argument")
    assert reply.detail["google.rpc.ErrorInfo"]["reason"] == "INVALID_REQUEST"


def test_an_unknown_method_is_refused_as_over_grpc(http: Address) -> None:
    reply = call(http, f"{TASKS}/Nothing", {})
    assert (reply.status, reply.json["code"]) == (404, "unimplemented")
    info = reply.detail["google.rpc.ErrorInfo"]
    assert info["reason"] == "UNKNOWN_METHOD"
    assert info["metadata"] == {"method": f"{TASKS}/Nothing"}


def test_an_unknown_media_type_is_refused(http: Address) -> None:
    for kind in ("text/plain", "application/xml", ""):
        reply = request(http, f"/{GET_TASK}", b"{}", headers={"content-type": kind})
        assert reply.status == 415


def test_a_form_is_json_for_curl_but_not_for_browsers(http: Address) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    body = json.dumps({"name": RUNNING}).encode()
    assert request(http, f"/{GET_TASK}", body, headers=form).status == 200
    for browsers in ({"origin": f"http://{http}"}, {"sec-fetch-site": "same-origin"}):
        assert request(http, f"/{GET_TASK}", body, headers=form | browsers).status == 415


def test_requests_may_be_compressed(http: Address) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    body = gzip.compress(json.dumps({"name": RUNNING}).encode())
    assert request(http, f"/{GET_TASK}", body, headers=headers).status == 200
    bomb = gzip.compress(b" " * 64 * 1024 * 1024)
    reply = request(http, f"/{GET_TASK}", bomb, headers=headers)
    assert (reply.status, reply.json["code"]) == (429, "resource_exhausted")
    unknown = request(http, f"/{GET_TASK}", body, headers={**headers, "content-encoding": "br"})
    assert (unknown.status, unknown.json["code"]) == (501, "unimplemented")


def test_responses_are_not_compressed(http: Address) -> None:
    reply = call(http, GET_TASK, {"name": RUNNING}, accept_encoding="gzip")
    assert reply.headers["content-encoding"] in (None, "identity")
    assert reply.json["task"]["name"] == RUNNING


def test_metadata_are_headers(http: Address) -> None:
    reply = call(
        http,
        "taskgate.omics.v1.OmicsService/GetRun",
        {"id": RUN.rpartition("/")[2]},
        taskgate_max_age="5",
    )
    assert reply.headers["taskgate-observe-time"]
    assert reply.headers["trailer-taskgate-observe-time"] == reply.headers["taskgate-observe-time"]
    assert reply.headers["trailer-taskgate-aws-request-id"]
    wrong = call(http, GET_TASK, {"name": RUNNING}, taskgate_target="Nowhere!")
    assert wrong.json["code"] == "invalid_argument"
    assert "taskgate-target" in wrong.json["message"]


def test_a_deadline_that_passes_is_reported_with_its_reason(http: Address) -> None:
    reply = call(
        http,
        f"{TASKS}/WaitTask",
        {"name": RUNNING, "states": ["TASK_STATE_SUCCEEDED"], "maxWait": "30s"},
        connect_timeout_ms="1",
    )
    assert (reply.status, reply.json["code"]) == (504, "deadline_exceeded")
    assert reply.detail["google.rpc.ErrorInfo"]["reason"] == "TIME_LIMIT_EXCEEDED"


def test_a_wait_returns_before_its_deadline(http: Address) -> None:
    reply = call(http, f"{TASKS}/WaitTask", {"name": RUNNING}, connect_timeout_ms="1500")
    assert reply.status == 200
    assert reply.json["task"]["state"] == "TASK_STATE_RUNNING"


def test_a_page_of_tasks_is_the_same_at_each_call(http: Address) -> None:
    first, second = (call(http, f"{TASKS}/ListTasks", {"parent": JOB}) for _ in range(2))
    assert len(first.json["tasks"]) > 1
    assert [task["name"] for task in first.json["tasks"]] == [
        task["name"] for task in second.json["tasks"]
    ]


def test_health_is_a_call_as_well(http: Address) -> None:
    reply = call(http, "grpc.health.v1.Health/Check", {"service": "live"})
    assert reply.json == {"status": "SERVING"}
