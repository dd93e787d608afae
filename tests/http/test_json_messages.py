"""Conversion of messages between JSON and protobuf's binary format."""

from __future__ import annotations

import json
import re
import time

import pytest
from google.protobuf import json_format

from taskgate.omics.v1 import omics_pb2
from taskgate.v1 import task_pb2, task_service_pb2
from taskgate_server import errors
from taskgate_server.calls import Rpc
from taskgate_server.http.json_messages import JsonMessages, LoneSurrogates, exceeds, to_json
from taskgate_server.large_requests import LargeRequests
from tests.support.demo_names import RUNNING

GET_TASK = Rpc(
    method="taskgate.v1.TaskService/GetTask",
    request_class=task_service_pb2.GetTaskRequest,
    response_class=task_service_pb2.GetTaskResponse,
    behaviour=lambda *_: None,
)


@pytest.fixture
def messages() -> JsonMessages:
    return JsonMessages(LargeRequests())


def test_a_request_becomes_the_bytes_that_a_grpc_client_sends(messages: JsonMessages) -> None:
    for _ in range(2):  # parsed, and cached
        binary = messages.to_binary(GET_TASK.request_class, json.dumps({"name": RUNNING}).encode())
        assert binary == task_service_pb2.GetTaskRequest(name=RUNNING).SerializeToString()


def test_the_same_text_means_another_message_in_another_method(messages: JsonMessages) -> None:
    text = b'{"name": "a"}'
    kinds = task_service_pb2.GetTaskRequest, omics_pb2.StartRunRequest
    for _ in range(2):
        for kind in kinds:
            binary = messages.to_binary(kind, text)
            assert binary == json_format.Parse(text, kind()).SerializeToString()


async def test_unknown_enum_values_survive(messages: JsonMessages) -> None:
    response = task_service_pb2.GetTaskResponse()
    response.task.name = RUNNING
    response.task.state = 77  # type: ignore[assignment]  # as a newer server might send it
    for _ in range(2):
        text = await messages.from_binary(GET_TASK, response.SerializeToString(), "peer")
        assert json.loads(text) == {"task": {"name": RUNNING, "state": 77}}
    request = b'{"view": 77}'
    binary = messages.to_binary(task_service_pb2.GetTaskRequest, request)
    assert task_service_pb2.GetTaskRequest.FromString(binary).view == 77


def test_text_is_not_escaped_and_has_no_line_breaks() -> None:
    task = task_pb2.Task(name="ä\n☃")
    text = to_json(task)
    assert "ä\\n☃".encode() in text
    assert json_format.Parse(text, task_pb2.Task()) == task


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[" + b"1," * 100 + b"1]", True),
        (b'["' + b"," * 200 + b'"]', False),
        (b'["' + b'\\",' * 200 + b'"]', False),
        (b'{"a":{"b":' + b'{"c":1},' * 60, True),
        (b'"' + b"[" * 200, False),  # a string without end
        (b'"\\', False),
    ],
)
def test_values_are_counted_outside_strings(data: bytes, expected: bool) -> None:
    assert exceeds(data, limit=50) is expected


@pytest.mark.parametrize("data", [b'"' * 4_000_001, b'"\\' * 2_000_000, b'\\"' * 2_000_000])
def test_counting_reads_each_byte_once(data: bytes) -> None:
    began = time.process_time()
    exceeds(data)
    assert time.process_time() - began < 2  # the square of its length would be hours


def test_a_request_with_too_many_values_is_refused(messages: JsonMessages) -> None:
    text = json.dumps({"names": ["a"] * 70_000}).encode()
    with pytest.raises(errors.TaskgateError, match="60000 values"):
        messages.to_binary(task_service_pb2.BatchGetTasksRequest, text)


LIBRARY_PATTERN = re.compile(
    "[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]"
)
"""Of google.protobuf.json_format 7.36."""


@pytest.mark.parametrize(
    "text",
    ["", "a", "é😀", "\ud83d", "a\ud83d", "\ude00.", "\ude00\ud83d", "é\ud83d.", "\\ud83d"],
)
def test_lone_surrogates_are_found_as_the_library_finds_them(text: str) -> None:
    assert bool(LoneSurrogates().search(text)) is bool(LIBRARY_PATTERN.search(text))


def test_the_library_uses_our_search(messages: JsonMessages) -> None:
    used = vars(json_format)["_UNPAIRED_SURROGATE_PATTERN"]
    assert isinstance(used, LoneSurrogates)
    with pytest.raises(errors.TaskgateError, match="Unpaired surrogate"):
        messages.to_binary(GET_TASK.request_class, rb'{"name": "\ud83d"}')
    binary = messages.to_binary(GET_TASK.request_class, rb'{"name": "\ud83d\ude00"}')
    assert binary == task_service_pb2.GetTaskRequest(name="😀").SerializeToString()


def test_long_texts_take_a_fraction_of_the_time() -> None:
    text = "é" * (1 << 20)
    seconds = []
    for pattern in (LIBRARY_PATTERN, LoneSurrogates()):
        began = time.thread_time()
        for _ in range(3):
            assert pattern.search(text) is None
        seconds.append(time.thread_time() - began)
    assert seconds[1] < seconds[0] / 5
