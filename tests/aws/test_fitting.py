"""What becomes of values that do not fit AWS's model: the table of docs/contract.md."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from taskgate_server.aws import model
from taskgate_server.aws.fitting import Fitter
from taskgate_server.aws.json_text import parse
from taskgate_server.rpc.handlers import load_operations
from taskgate_server.services.deadline.spec import SPEC as DEADLINE
from taskgate_server.services.omics.spec import SPEC as OMICS
from tests.support.contract import mirror

SHAPES = {
    "Text": {"type": "string"},
    "Word": {"type": "string", "enum": ["ONE"]},
    "Int": {"type": "integer"},
    "Long": {"type": "long"},
    "Double": {"type": "double"},
    "Bool": {"type": "boolean"},
    "Time": {"type": "timestamp"},
    "Blob": {"type": "blob"},
    "Document": {"type": "structure", "members": {}, "document": True},
    "Inner": {"type": "structure", "members": {"text": {"shape": "Text"}}},
    "Outer": {
        "type": "structure",
        "members": {
            **{name: {"shape": name} for name in ("Text", "Word", "Int", "Long", "Double", "Bool")},
            **{name: {"shape": name} for name in ("Time", "Blob", "Document", "Inner")},
            **{f"{name}s": {"shape": f"{name}s"} for name in ("Text", "Int", "Time", "Inner")},
            **{f"{name}s": {"shape": f"{name}s"} for name in ("Document", "Word")},
            "ByKey": {"shape": "ByKey"},
        },
    },
    "ByKey": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
    **{
        f"{name}s": {"type": "list", "member": {"shape": name}}
        for name in ("Text", "Int", "Time", "Inner", "Document", "Word")
    },
}
DEEP: Any = json.loads("[" * 60 + "]" * 60)
ABSENT = object()


def outer() -> model.StructureShape:
    service = model.ServiceModel({"metadata": {"protocol": "rest-json"}, "shapes": SHAPES}, "toy")
    shape = service.shape_for("Outer")
    assert isinstance(shape, model.StructureShape)
    return shape


def fitted(member: str, value: Any) -> tuple[Any, list[str]]:
    odd: list[str] = []
    response = Fitter().compile(outer())({member: value, "other": 1}, odd)
    assert response.pop("other") == 1, "a member that the model lacks"
    return response.get(member, ABSENT), odd


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("Text", ""), ("Text", "x"), ("Word", "NEW"), ("Int", 0), ("Int", -(2**31))),
        *(("Long", 2**63 - 1), ("Double", 1.5), ("Double", 7), ("Double", 2**53), ("Bool", False)),
        *(("Time", "2026-03-02T09:30:15.25Z"), ("Time", 1772443815.25), ("Time", -1)),
        *(("Blob", ""), ("Blob", "AP/+"), ("Inner", {}), ("Inner", {"text": None})),
        *(("Texts", []), ("ByKey", {}), ("Document", None), ("Document", {"a": [1, 2**53, None]})),
        *(("Documents", [None, 1]), ("Text", None), ("Inner", {"new": object()})),
    ],
)
def test_fitting_values_stay_the_same_objects(member: str, value: Any) -> None:
    found, odd = fitted(member, value)
    assert found is value
    assert odd == []


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        *(("Text", True, "true"), ("Text", 7, "7"), ("Text", 1.5, "1.5"), ("Text", ["é"], '["é"]')),
        *(("Text", {"a": None}, '{"a":null}'), ("Word", 5, "5"), ("Word", False, "false")),
        *(("Int", True, 1), ("Int", 2**31, ABSENT), ("Int", 1.5, ABSENT), ("Int", "x", ABSENT)),
        *(("Int", [], ABSENT), ("Int", "9" * 5000, ABSENT), ("Long", 2**63, ABSENT)),
        *(("Double", 2**53 + 1, float(2**53)), ("Double", "1.5", 1.5), ("Double", "x", ABSENT)),
        *(("Double", 10**400, ABSENT), ("Double", {}, ABSENT), ("Double", True, 1.0)),
        *(("Bool", "true", True), ("Bool", "False", False), ("Bool", 1, True), ("Bool", 0, False)),
        *(("Bool", 2, ABSENT), ("Bool", "yes", ABSENT), ("Bool", [], ABSENT)),
        *(("Time", "", ABSENT), ("Time", "yesterday", ABSENT), ("Time", True, ABSENT)),
        *(("Time", "10000-01-01T00:00:00Z", ABSENT), ("Time", 1e15, ABSENT), ("Time", [], ABSENT)),
        *(("Blob", "A P/+", "AP/+"), ("Blob", "A", ABSENT), ("Blob", 5, ABSENT)),
        *(("Inner", [], ABSENT), ("Inner", "x", ABSENT), ("Texts", "x", ABSENT)),
        *(("Texts", {}, ABSENT), ("ByKey", [], ABSENT), ("Texts", ["a", None], ["a", ""])),
        *(("Ints", [1, None, "x"], [1, 0, 0]), ("Times", ["x", None], [0, 0])),
        *(("Words", [None], [""]), ("ByKey", {"a": None, "b": 1}, {"a": "", "b": "1"})),
        *(("Inners", [5, {"text": 7}], [{}, {"text": "7"}]), ("Inner", {"text": 7}, {"text": "7"})),
        *(("Document", 2**60, str(2**60)), ("Document", {"s": [-(2**60)]}, {"s": [str(-(2**60))]})),
    ],
)
def test_odd_value_is_replaced(member: str, value: Any, expected: Any) -> None:
    found, odd = fitted(member, value)
    assert found == expected
    assert type(found) is type(expected)
    assert odd
    assert {each.partition(".")[0] for each in odd} <= {"Outer", "Inner"}


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        *(("Int", "5", 5), ("Int", 5.0, 5), ("Long", "-7", -7)),
        *(("Double", "Infinity", math.inf), ("Inners", [None], [{}])),
    ],
)
def test_another_representation_is_not_odd(member: str, value: Any, expected: Any) -> None:
    found, odd = fitted(member, value)
    assert found == expected
    assert type(found) is type(expected)
    assert odd == []


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"":'])
def test_too_deep_document_becomes_text(opening: str) -> None:
    closing = opening[::-1].translate(str.maketrans('[{":a', "]}   ")).replace(" ", "")
    text = opening * 60 + "1" + closing * 60
    value, _ = fitted("Document", json.loads(text))
    depth = 0
    while not isinstance(value, str):
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
        depth += 1
    assert 25 <= depth <= 45
    left = json.loads(value)
    while left != 1:
        left = next(iter(left.values())) if isinstance(left, dict) else left[0]
        depth += 1
    assert depth == text.count("[") + text.count("{")


def test_a_document_at_the_greatest_depth_can_be_read() -> None:
    operation = load_operations(OMICS)["GetBatch"]
    shape: Any = operation.model.output_shape
    response = {"defaultRunSetting": {"parameters": json.loads('{"a":' * 500 + "1" + "}" * 500)}}
    message = operation.to_message(Fitter().compile(shape)(response, []))
    read = type(message).FromString(message.SerializeToString())
    assert read == message


def test_integers_beyond_doubles_become_text() -> None:
    operation = load_operations(OMICS)["GetRun"]
    shape: Any = operation.model.output_shape
    message = operation.to_message(Fitter().compile(shape)({"parameters": {"seed": 2**60}}, []))
    assert mirror.read(message, shape)["parameters"] == {"seed": str(2**60)}


def test_recursive_structure() -> None:
    service = model.load_service("deadline")
    fitter = Fitter()
    for operation in model.operations(service):
        if operation.output_shape is not None:
            fitter.compile(operation.output_shape)
    assert DEADLINE.name


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'{"a": "x\ud800y"}', {"a": "x\ufffdy"}),
        (rb'{"a": "\udc00\ud83d\ude00"}', {"a": "\ufffd😀"}),
        (rb'{"\ud800": ["\uDFFF"]}', {"\ufffd": ["\ufffd"]}),
        (rb'{"a": "\\\ud800"}', {"a": "\\\ufffd"}),
        (b'{"a": "\xed\xa0\x80"}', {"a": "\ufffd"}),
        ('{"a": "\ud800"}'.encode("utf-16", "surrogatepass"), {"a": "\ufffd"}),
    ],
)
def test_unpaired_surrogates_are_replaced(body: bytes, expected: Any) -> None:
    assert parse(body) == (expected, True)


@pytest.mark.parametrize("text", ["😀", "\ud7ff", r"\\ud800", r"\ud83d\ude00", "é"])
def test_other_texts_are_unchanged(text: str) -> None:
    body = f'{{"a": "{text}"}}'.encode()
    assert parse(body) == (json.loads(body), False)


def test_deep_json_with_an_unpaired_surrogate() -> None:
    value, has_odd_text = parse(b"[" * 500 + rb'"\ud800"' + b"]" * 500)
    assert has_odd_text
    assert json.dumps(value).count("[") == 500
