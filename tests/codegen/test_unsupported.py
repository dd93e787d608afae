"""What the rules have no answer for is refused by name, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskgate_server.codegen.__main__ import generate
from taskgate_server.codegen.contract import UnsupportedModelError
from tests.codegen.toy import SPEC, Description, description, service_of

Shapes = dict[str, Any]


def fault_of(described: Description, root: Path) -> str:
    with pytest.raises(UnsupportedModelError) as raised:
        generate(SPEC, root, service_of(described))
    assert not list(root.iterdir())
    return str(raised.value)


def member(shapes: Shapes, owner: str, name: str, shape: Description) -> None:
    shapes[f"Shape{name}"] = shape
    shapes[owner]["members"][name] = {"shape": f"Shape{name}"}


def big_decimal(shapes: Shapes) -> None:
    member(shapes, "Nested", "price", {"type": "bigdecimal"})


def unknown_in_a_wrapper(shapes: Shapes) -> None:
    shapes["Price"] = {"type": "bigdecimal"}
    shapes["Prices"] = {"type": "list", "member": {"shape": "Price"}}
    member(shapes, "Nested", "prices", {"type": "list", "member": {"shape": "Prices"}})


def counted_map(shapes: Shapes) -> None:
    kind = {"type": "map", "key": {"shape": "Count"}, "value": {"shape": "Text"}}
    member(shapes, "Nested", "counted", kind)


def one_snake_case(shapes: Shapes) -> None:
    for name in ("someThing", "SomeThing"):
        member(shapes, "Nested", name, {"type": "string"})


def one_json_name(shapes: Shapes) -> None:
    for name in ("a_1", "a1"):
        member(shapes, "Nested", name, {"type": "string"})


def event_stream(shapes: Shapes) -> None:
    events = {"type": "structure", "members": {"it": {"shape": "Text"}}, "eventstream": True}
    member(shapes, "GetThingResponse", "events", events)


def one_enum_value(shapes: Shapes) -> None:
    shapes["Kind"]["enum"].append("on_demand")


def one_enum_json_name(shapes: Shapes) -> None:
    shapes["Kind"]["enum"] += ["v1.0", "V10"]


def zero_words(shapes: Shapes) -> None:
    shapes["Grade"]["enum"] += ["unspecified", "unspecified-value"]


def one_value_of_two_enums(shapes: Shapes) -> None:
    shapes["GradeUp"] = {"type": "string", "enum": ["A"]}
    shapes["Nested"]["members"]["up"] = {"shape": "GradeUp"}
    shapes["Grade"]["enum"].append("up-a")


def one_message(shapes: Shapes) -> None:
    shapes["PingRequest"] = {"type": "structure", "members": {"it": {"shape": "Text"}}}
    shapes["Nested"]["members"]["request"] = {"shape": "PingRequest"}


def value_and_member_in_a_union(shapes: Shapes) -> None:
    for name in ("value", "member"):
        member(shapes, "Choice", name, {"type": "string"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (big_decimal, ["Nested.price", "bigdecimal", "Shapeprice"]),
        (unknown_in_a_wrapper, ["Nested.prices", "bigdecimal", "Price"]),
        (counted_map, ["Nested.counted", "Shapecounted", "keys"]),
        (one_snake_case, ["Nested", "someThing", "SomeThing", "some_thing"]),
        (one_json_name, ["Nested", "a_1", "a1"]),
        (event_stream, ["GetThingResponse.events", "event stream"]),
        (one_enum_value, ["Kind", "on-demand", "on_demand", "KIND_ON_DEMAND"]),
        (one_enum_json_name, ["Kind", "v1.0", "V10"]),
        (zero_words, ["Grade", "unspecified", "unspecified-value", "GRADE_UNSPECIFIED_VALUE"]),
        (one_value_of_two_enums, ["Grade.up-a", "GradeUp.A", "GRADE_UP_A"]),
        (one_message, ["PingRequest", "empty"]),
        (value_and_member_in_a_union, ["Choice", "the oneof", "member"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_the_fault_names_shape_and_member(
    change: Callable[[Shapes], None], words: list[str], tmp_path: Path
) -> None:
    described = description()
    change(described["shapes"])
    fault = fault_of(described, tmp_path)
    assert [word for word in words if word not in fault] == [], fault


@pytest.mark.parametrize("owner", ["Empty", "Nested", "Choice"])
@pytest.mark.parametrize("name", ["unrecognizedValues", "emptyMembers", "unknownMember"])
def test_names_of_taskgates_own_fields_are_reserved_everywhere(
    owner: str, name: str, tmp_path: Path
) -> None:
    described = description()
    member(described["shapes"], owner, name, {"type": "string"})
    assert f"{owner}.{name}" in fault_of(described, tmp_path)


def test_word_that_collides_with_a_removed_one_is_refused(tmp_path: Path) -> None:
    """It would get the other's number."""
    described = description()
    for path, text in generate(SPEC, tmp_path, service_of(described)).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    described["shapes"]["Kind"]["enum"][0] = "on_demand"
    with pytest.raises(UnsupportedModelError, match=r"Kind: on_demand and on-demand"):
        generate(SPEC, tmp_path, service_of(described))
