"""Each kind of RPC returns the same over Connect JSON as over gRPC.

The RPCs come from the descriptors. Each is called twice with the same request: once over gRPC, once
in JSON. A response must be the same message, and an error must have the same code, message and
details. AWS is the emulator.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from taskgate.v1 import task_service_pb2
from taskgate_server.ports import Address
from taskgate_server.services.registry import SERVICES
from tests.support.contract.exchange import contract_of
from tests.support.demo_names import ABSENT, JOB, RUN, RUNNING, STEP
from tests.support.http_client import END_OF_STREAM, call, streaming

TASK_SERVICE = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]

REQUESTS: dict[str, list[dict[str, Any]]] = {
    "GetTask": [{"name": RUNNING}, {"name": ABSENT}, {"name": "nowhere"}],
    "BatchGetTasks": [{"names": [RUNNING, ABSENT]}],
    "ListTasks": [{"parent": JOB}, {"parent": RUN, "pageSize": 1}, {"parent": STEP}],
    "SummarizeTasks": [{"parent": JOB}, {"parent": RUN}],
    "WaitTask": [{"name": RUNNING, "maxWait": "0.1s"}],
    "StreamTaskLogs": [{"name": RUNNING}],
    "CancelTask": [{"name": ABSENT}, {}],
    "RetryTask": [{"name": ABSENT}],
    "SuspendTask": [{"name": f"{RUN}/tasks/1"}],
    "BatchUpdateTasks": [{}],
    "GetServerInfo": [{}],
}
"""Requests of the unified service; WatchTasks has tests of its own."""

NEW_IDS = re.compile(r"\b(?:\d{7,}|[0-9a-f]{32})\b")
OBSERVED = ("observeTime", "requestId", "quotaUsage")
"""Members that differ from call to call."""


def full_name(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


def native_methods() -> Iterator[MethodDescriptor]:
    for spec in SERVICES:
        for method in contract_of(spec.name).methods:
            if not method.client_streaming:
                yield method


CASES = [
    *(
        pytest.param(TASK_SERVICE.methods_by_name[name], request, id=f"{name}-{number}")
        for name, requests in REQUESTS.items()
        for number, request in enumerate(requests)
    ),
    *(
        # Without ids a request is either complete, or refused with each missing member.
        pytest.param(method, {}, id=full_name(method))
        for method in native_methods()
    ),
]


def without_times(value: Any) -> Any:
    """Return JSON without the members and the ids that differ from call to call."""
    if isinstance(value, str):
        return NEW_IDS.sub("new", value)
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in OBSERVED}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def over_grpc(channel: grpc.Channel, method: MethodDescriptor, request: Message) -> Any:
    """Return the messages and the error of a call."""
    kind: Any = message_factory.GetMessageClass(method.output_type)
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    rpc: Any = make(f"/{full_name(method)}", type(request).SerializeToString, kind.FromString)
    messages: list[dict[str, Any]] = []
    try:
        result = rpc(request, timeout=20)
        for each in result if method.server_streaming else [result]:
            messages.append(json_format.MessageToDict(each))  # noqa: PERF401  # until an error
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a call, too
        assert status is not None
        return messages, as_json(status)
    return messages, None


def as_json(status: status_pb2.Status) -> dict[str, Any]:
    code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
    details = []
    for packed in status.details:
        fields = json_format.MessageToDict(packed)
        fields.pop("@type")
        details.append({"type": packed.TypeName(), "debug": fields})
    return {"code": code.name.lower(), "message": status.message, "details": details}


def over_http(http: Address, method: MethodDescriptor, message: dict[str, Any]) -> Any:
    if method.server_streaming:
        with streaming(http, full_name(method), message) as envelopes:
            *messages, (flags, end) = envelopes
        assert flags == END_OF_STREAM
        return [each for _, each in messages], end.get("error")
    reply = call(http, full_name(method), message)
    if reply.status == 200:
        return [reply.json], None
    return [], reply.json


def readable(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return an error without the binary form of its details, which must say the same."""
    if error is None:
        return None
    for detail in error["details"]:
        kind: Any = getattr(error_details_pb2, detail["type"].rpartition(".")[2])
        decoded = kind.FromString(base64.b64decode(detail.pop("value") + "=="))
        assert json_format.MessageToDict(decoded) == detail["debug"]
    return error


@pytest.mark.parametrize(("method", "message"), CASES)
def test_json_says_the_same_as_grpc(
    http: Address, grpc_channel: grpc.Channel, method: MethodDescriptor, message: dict[str, Any]
) -> None:
    request = message_factory.GetMessageClass(method.input_type)()
    json_format.ParseDict(message, request)
    expected = over_grpc(grpc_channel, method, request)
    messages, error = over_http(http, method, message)
    found = messages, readable(error)
    assert without_times(json.loads(json.dumps(found))) == without_times(
        json.loads(json.dumps(expected))
    )
