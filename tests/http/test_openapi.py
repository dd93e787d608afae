"""The OpenAPI document: valid, complete, and true of the messages that the RPCs really have.

OpenAPI's own validator takes a minute for the whole document. By default it gets TaskService's,
and in `make openapi-test` all of it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from taskgate.v1 import task_service_pb2, task_update_pb2
from taskgate_server.aws import model
from taskgate_server.http import openapi
from taskgate_server.http.connect_errors import HTTP_STATUSES, code_name
from taskgate_server.http.idempotency import is_safe
from tests.support import openapi_document
from tests.support.contract.any_message import fill
from tests.support.contract.exchange import OPERATIONS, method_of, operation_id, request_message
from tests.support.contract.synthesis import FULL, MINIMAL, RANDOM, Synthesizer
from tests.support.contract.violations import KEY, Violation, every_violation
from tests.support.openapi_document import (
    METHODS,
    SERVED,
    UNARY,
    document,
    judge,
    path_of,
    strict_judge,
)
from tests.support.seeds import IS_LARGE_VOLUME, VOLUME, examples, seeded

MADE_ELSEWHERE = """
import sys
from tests.support.openapi_document import document
from taskgate_server.http.openapi import serialize
sys.stdout.buffer.write(serialize(document()))
"""

RESPONSES = examples(40) * VOLUME


def every(methods: list[MethodDescriptor]) -> list[Any]:
    return [pytest.param(method, id=path_of(method).lstrip("/")) for method in methods]


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        yield from ((path, item[verb]) for verb in ("get", "post") if verb in item)


def test_document_is_valid_openapi() -> None:
    services = SERVED if IS_LARGE_VOLUME else SERVED[:1]
    made = openapi.document(services, "1.2.3", is_safe)
    assert list(OpenAPIV31SpecValidator(made).iter_errors()) == []


def test_every_schema_is_valid() -> None:
    schemas = document()["components"]["schemas"]
    Draft202012Validator.check_schema({"$defs": schemas})


def test_document_has_every_rpc() -> None:
    assert list(document()["paths"]) == [path_of(method) for method in METHODS]


def test_ids_of_operations_differ() -> None:
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(set(ids)) == len(ids)


def test_every_reference_has_a_target_and_every_schema_a_reference() -> None:
    text = openapi.serialize(document()).decode()
    referred = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', text))
    assert referred == set(document()["components"]["schemas"])


def test_document_is_the_same_in_each_process() -> None:
    made = subprocess.run(
        [sys.executable, "-c", MADE_ELSEWHERE],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        check=True,
    )
    assert made.stdout == openapi.serialize(document())


def test_only_safe_unary_rpcs_take_get() -> None:
    with_get = {path for path, item in document()["paths"].items() if "get" in item}
    assert with_get == {path_of(each) for each in UNARY if is_safe(each)}
    assert "/taskgate.v1.TaskService/GetTask" in with_get
    assert "/taskgate.v1.TaskService/CancelTask" not in with_get


def test_streams_have_envelopes_and_no_get() -> None:
    paths = document()["paths"]
    for method in METHODS:
        content = paths[path_of(method)]["post"]["requestBody"]["content"]
        is_stream = method not in UNARY
        assert list(content) == [openapi.JSON_STREAM if is_stream else openapi.JSON]
        assert not (is_stream and "get" in paths[path_of(method)])


def test_comments_are_descriptions() -> None:
    schemas = document()["components"]["schemas"]
    name = schemas["taskgate.v1.GetTaskRequest"]["properties"]["name"]
    assert name["description"] == "Required. The resource name of the task."
    post = document()["paths"]["/taskgate.v1.TaskService/GetTask"]["post"]
    assert post["description"] == "Gets a task. Returns NOT_FOUND if AWS does not have it."
    assert "* `TASK_STATE_RUNNING`: Running. " in schemas["taskgate.v1.TaskState"]["description"]
    get_run = document()["paths"]["/taskgate.omics.v1.OmicsService/GetRun"]["post"]
    assert get_run["externalDocs"]["url"].startswith("https://docs.aws.amazon.com/goto/WebAPI/")
    assert "https:" not in get_run["description"]


def test_document_has_no_sentences_of_aws() -> None:
    text = openapi.serialize(document()).decode()
    sentences = {
        sentence
        for operation in OPERATIONS
        for sentence in re.findall(r"[A-Z][\w ,']{40,}\.", operation.documentation)
    }
    assert len(sentences) > 100
    assert [each for each in sentences if each in text] == []


def test_every_connect_code_has_one_response() -> None:
    responses = document()["components"]["responses"].values()
    codes = [
        code
        for each in responses
        if "content" in each
        for code in each["content"][openapi.JSON]["schema"]["properties"]["code"]["enum"]
    ]
    assert sorted(codes) == sorted(map(code_name, HTTP_STATUSES))


# --- Requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [pytest.param(o, id=operation_id(o)) for o in OPERATIONS])
def test_schema_allows_every_valid_request(operation: model.OperationModel) -> None:
    synthesizer = Synthesizer(wire=False)
    faults = {
        fault: variant
        for variant in (FULL, MINIMAL, *RANDOM)
        for message in [request_message(operation, synthesizer.params(operation, variant))]
        for fault in judge().request_faults(method_of(operation), message)
    }
    assert faults == {}


CASES = every_violation()


@pytest.mark.parametrize("name", CASES)
def test_schema_refuses_what_violates_a_constraint(name: str) -> None:
    accepted = [
        str(violation)
        for violation in CASES[name]
        if can_be_expressed(violation)
        and not judge().request_faults(
            method_of(violation.operation),
            request_message(violation.operation, violation.params),
        )
    ]
    assert accepted == []


def can_be_expressed(violation: Violation) -> bool:
    """Return whether JSON Schema has the constraint in a form for all languages."""
    shape = violation.spot.shape
    if violation.fault == KEY:
        shape = shape.key  # type: ignore[attr-defined]  # only maps have this fault
    if violation.fault in (KEY, "pattern"):
        return "\\p" not in shape.metadata.get("pattern", "")
    # A 64-bit integer is text in JSON.
    return shape.type_name != "long" or violation.fault not in ("too small", "too large")


def test_most_violations_can_be_expressed() -> None:
    cases = [violation for violations in CASES.values() for violation in violations]
    assert len(cases) > 500
    assert sum(map(can_be_expressed, cases)) > 0.85 * len(cases)


def method(name: str) -> MethodDescriptor:
    service = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"]
    found: MethodDescriptor = service.methods_by_name[name]
    return found


@pytest.mark.parametrize(
    ("name", "request_", "is_valid"),
    [
        ("GetTask", task_service_pb2.GetTaskRequest(name="omics/runs/1/tasks/2"), True),
        ("GetTask", task_service_pb2.GetTaskRequest(), False),
        ("BatchGetTasks", task_service_pb2.BatchGetTasksRequest(names=["a"]), True),
        ("BatchGetTasks", task_service_pb2.BatchGetTasksRequest(), False),
        ("GetServerInfo", task_service_pb2.GetServerInfoRequest(), True),
        (
            "BatchUpdateTasks",
            task_update_pb2.BatchUpdateTasksRequest(updates=[task_update_pb2.TaskUpdate()]),
            False,
        ),
        (
            "BatchUpdateTasks",
            task_update_pb2.BatchUpdateTasksRequest(
                updates=[
                    task_update_pb2.TaskUpdate(name="a", action=task_update_pb2.TASK_ACTION_RETRY)
                ]
            ),
            True,
        ),
    ],
)
def test_requests_of_the_task_service(name: str, request_: Message, *, is_valid: bool) -> None:
    assert (judge().request_faults(method(name), request_) == []) is is_valid


def test_requests_have_no_other_members() -> None:
    schema = {"$ref": "#/components/schemas/taskgate.v1.GetTaskRequest"}
    assert judge().faults(schema, {"name": "a"}) == []
    assert judge().faults(schema, {"name": "a", "newer": 1}) != []


# --- Responses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", every(METHODS))
def test_schema_allows_every_response(method: MethodDescriptor) -> None:
    kind = message_factory.GetMessageClass(method.output_type)
    faults: dict[str, str] = {}
    for number in range(RESPONSES):
        message = kind()
        fill(message, seeded(path_of(method), number))
        found = strict_judge().response_faults(method, message)
        faults |= dict.fromkeys(found, json.dumps(openapi_document.to_json(message))[:500])
    assert faults == {}


def test_responses_may_have_further_members() -> None:
    schema = {"$ref": "#/components/schemas/taskgate.v1.GetTaskResponse"}
    assert judge().faults(schema, {"task": {"name": "a", "newer": 1}, "newer": 1}) == []
    assert judge().faults(schema, {"task": {"name": 1}}) != []


def test_two_members_of_a_oneof_are_refused() -> None:
    schema = {"$ref": "#/components/schemas/taskgate.v1.TaskResult"}
    assert judge().faults(schema, {"name": "a", "task": {}}) == []
    assert judge().faults(schema, {"name": "a", "task": {}, "error": {}}) != []
