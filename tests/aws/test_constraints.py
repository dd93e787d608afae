"""Constraints of values that become a part of a URL, a host or a header, and patterns of Java."""

from __future__ import annotations

from typing import Any

import pytest

from taskgate_server.aws import model
from taskgate_server.aws.constraints import compile_check, compile_pattern


def shape(member: dict[str, Any], **shapes: dict[str, Any]) -> model.Shape:
    """Return the shape of a member, with the traits of its place in HTTP."""
    service = model.ServiceModel(
        {
            "metadata": {},
            "shapes": {
                "Text": {"type": "string"},
                "Texts": {"type": "list", "member": {"shape": "Text"}},
                "TextMap": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
                "Count": {"type": "integer", "min": 1},
                "When": {"type": "timestamp"},
                "Flag": {"type": "boolean"},
                "Owner": {"type": "structure", "members": {"it": member}},
                **shapes,
            },
        }
    )
    owner = service.shape_for("Owner")
    assert isinstance(owner, model.StructureShape)
    return owner.members["it"]


def fault(value: Any, member: dict[str, Any], *, is_greedy: bool = False) -> str | None:
    check = compile_check(shape(member), is_greedy=is_greedy)
    return None if check is None else check(value)


@pytest.mark.parametrize(("target", "value"), [("Count", 7), ("When", object()), ("Flag", True)])
def test_label_may_be_something_else_than_text(target: str, value: object) -> None:
    assert fault(value, {"shape": target, "location": "uri", "locationName": "it"}) is None


def test_label_that_is_a_number_has_its_bounds() -> None:
    label = {"shape": "Count", "location": "uri", "locationName": "it"}
    assert fault(0, label) == "is 0, must be at least 1"


@pytest.mark.parametrize("value", ["a", "a/b", "/a//b/", "a..b/.c", "é/😀"])
def test_greedy_label_may_have_segments(value: str) -> None:
    label = {"shape": "Text", "location": "uri", "locationName": "it"}
    assert fault(value, label, is_greedy=True) is None


@pytest.mark.parametrize("value", ["", "..", "a/../b", "./a", "a\\b", "a\nb", "a%2fb"])
def test_greedy_label_does_not_lead_elsewhere(value: str) -> None:
    label = {"shape": "Text", "location": "uri", "locationName": "it"}
    assert fault(value, label, is_greedy=True) is not None


@pytest.mark.parametrize(("value", "is_valid"), [("g-1", True), ("a.b", False), ("a/b", False)])
def test_label_of_the_host_is_one_label(value: str, is_valid: bool) -> None:
    label = {"shape": "Text", "hostLabel": True, "location": "uri", "locationName": "it"}
    assert (fault(value, label) is None) == is_valid


@pytest.mark.parametrize("value", ["a\r\nb: c", " a", "é"])
def test_texts_in_headers_cannot_begin_another_header(value: str) -> None:
    texts = {"shape": "Texts", "location": "header", "locationName": "x-texts"}
    more = {"shape": "TextMap", "location": "headers", "locationName": "x-meta-"}
    assert fault(["a", "b"], texts) is None
    assert fault(["a", value], texts) is not None
    assert fault({"a": "b"}, more) is None
    assert fault({"a": value}, more) is not None
    assert fault({value: "b"}, more) is not None


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"[\u0020-\uD7FF\uD800\uDC00-\uDBFF\uDFFF\t]*", "a😀", "\n"),
        (r"[a-z\x{0022}]+", 'a"', "'"),
        (r"[\p{L}||\p{N}]+", "é1", "-"),
    ],
)
def test_patterns_of_java_are_read(pattern: str, matching: str, other: str) -> None:
    compiled = compile_pattern(pattern)
    assert compiled is not None
    assert compiled.fullmatch(matching)
    assert not compiled.fullmatch(other)


def test_pattern_that_only_java_can_read_is_left_to_aws() -> None:
    assert compile_pattern(r"[\p{all}]*") is None
    member = {"shape": "Tag"}
    tag = shape(member, Tag={"type": "string", "pattern": r"[\p{all}]*", "max": 2})
    check = compile_check(tag)
    assert check is not None
    assert check("é") is None
    assert check("long") == "has length 4, must be at most 2"
