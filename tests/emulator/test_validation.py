from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from taskgate_emulator.core.errors import AwsError
from taskgate_emulator.core.parsing import RawRequest, compile_request
from taskgate_emulator.core.patterns import compile_pattern
from taskgate_emulator.seeds.ids import FAILED_TASK_ID, FARM_ID, JOB_ID, QUEUE_ID, RENDER_STEP_ID
from taskgate_server.aws.model import load_service

IDS = {
    "farmId": FARM_ID,
    "queueId": QUEUE_ID,
    "jobId": JOB_ID,
    "stepId": RENDER_STEP_ID,
    "taskId": FAILED_TASK_ID,
}
PATTERNS = sorted(
    {
        pattern
        for name in ("deadline", "omics")
        for shape_name in load_service(name).shape_names
        if (pattern := load_service(name).shape_for(shape_name).metadata.get("pattern"))
    }
)


def read(
    operation: str,
    *,
    service: str = "deadline",
    labels: dict[str, str] | None = None,
    query: dict[str, list[str]] | None = None,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    raw = RawRequest(
        labels=labels or {},
        query=query or {},
        headers=CIMultiDict(headers or {}),
        body=body
        if isinstance(body, bytes)
        else b""
        if body is None
        else json.dumps(body).encode(),
    )
    return compile_request(load_service(service).operation_model(operation))(raw)


def violations(**request: Any) -> list[tuple[str, str]]:
    with pytest.raises(AwsError) as caught:
        read(**request)
    assert caught.value.code == "ValidationException"
    assert caught.value.members["reason"] == "FIELD_VALIDATION_FAILED"
    fields: Any = caught.value.members["fieldList"]
    assert f"{len(fields)} validation error" in caught.value.message
    return [(violation["name"], violation["message"]) for violation in fields]


def test_all_violations_are_reported_at_once() -> None:
    found = violations(
        operation="ListTasks",
        labels={**IDS, "farmId": "nope", "stepId": RENDER_STEP_ID.upper()},
        query={"maxResults": ["101"], "nextToken": ["x" * 4_097]},
    )
    assert [name for name, _ in found] == ["farmId", "stepId", "nextToken", "maxResults"]
    assert found[3][1] == "Member must have value less than or equal to 100"


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        ({}, "identifiers", "must not be null"),
        ({"identifiers": None}, "identifiers", "must not be null"),
        ({"identifiers": []}, "identifiers", "length greater than or equal to 1"),
        ({"identifiers": [IDS] * 101}, "identifiers", "length less than or equal to 100"),
        ({"identifiers": "x"}, "identifiers", "must be a list"),
        ({"identifiers": ["x"]}, "identifiers.1.member", "must be an object"),
        ({"identifiers": [IDS, {**IDS, "jobId": 7}]}, "identifiers.2.member.jobId", "a string"),
        (
            {"identifiers": [{k: v for k, v in IDS.items() if k != "taskId"}]},
            "identifiers.1.member.taskId",
            "must not be null",
        ),
    ],
)
def test_body_is_checked(body: Any, name: str, message: str) -> None:
    ((found_name, found_message),) = violations(operation="BatchGetTask", body=body)
    assert found_name == name
    assert message in found_message


@pytest.mark.parametrize("text", ["many", "1.5", "1_0", " 7", "٣", "", "9" * 5_000])
def test_integer_in_the_query_is_checked(text: str) -> None:
    ((name, message),) = violations(operation="ListTasks", labels=IDS, query={"maxResults": [text]})
    assert (name, message) == ("maxResults", "Member must be an integer")


def test_enum_violation_lists_the_values() -> None:
    ((name, message),) = violations(
        operation="UpdateTask", labels=IDS, body={"targetRunStatus": "DONE"}
    )
    assert name == "targetRunStatus"
    assert "enum value set: [READY, FAILED," in message


def test_header_is_checked() -> None:
    ((name, _),) = violations(
        operation="UpdateTask",
        labels=IDS,
        headers={"x-amz-client-token": "t" * 65},
        body={"targetRunStatus": "READY"},
    )
    assert name == "clientToken"


def test_union_needs_exactly_one_value() -> None:
    labels = {"farmId": FARM_ID}
    both = {"int": "1", "string": "x"}
    found = violations(
        operation="CreateJob",
        labels={**labels, "queueId": QUEUE_ID},
        body={"priority": 1, "parameters": {"A": both, "B": {"int": "2"}}},
    )
    assert found == [("parameters.A.value", "Member must have exactly one value set")]


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_invalid_json_is_rejected(body: bytes) -> None:
    with pytest.raises(AwsError) as caught:
        read("BatchGetTask", body=body)
    assert caught.value.members["reason"] == "CANNOT_PARSE"


def test_unknown_members_are_ignored() -> None:
    assert read("BatchGetTask", body={"identifiers": [{**IDS, "colour": 1}], "x": 2}) == {
        "identifiers": [IDS]
    }


def test_values_are_not_repeated_in_messages() -> None:
    with pytest.raises(AwsError) as caught:
        read("GetTask", labels={**IDS, "taskId": "my secret"})
    assert "my secret" not in str(caught.value)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_of_the_models_compiles(pattern: str) -> None:
    assert compile_pattern(pattern)("a-1") in {True, False}


def test_unicode_categories_include_non_ascii() -> None:
    pattern = next(p for p in PATTERNS if p.startswith(r"[\p{L}||\p{M}"))
    matches = compile_pattern(pattern)
    assert matches("token-1|2")
    assert matches("Жёлтый ячмень 大麦 é")
    assert not matches("bell\x07")
    assert not matches("жук\x07")
    assert not matches("")
