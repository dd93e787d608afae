"""Renamed, joined and split shapes: their messages, fields and numbers stay the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from taskgate_server.codegen import lock as locks
from taskgate_server.codegen.__main__ import generate
from tests.codegen.toy import SPEC, Description, description, service_of

FIRST: Description = {
    "Thing": {"type": "structure", "members": {"items": {"shape": "Items"}, "b": {"shape": "B"}}},
    "Items": {"type": "list", "member": {"shape": "Item"}},
    "Item": {"type": "structure", "members": {"id": {"shape": "Text"}, "kind": {"shape": "Kind"}}},
    "B": {"type": "structure", "members": {"id": {"shape": "Text"}, "kind": {"shape": "Kind"}}},
    "Kind": {"type": "string", "enum": ["ONE", "TWO"]},
    "Text": {"type": "string"},
    "Count": {"type": "integer"},
}


class History:
    """Contracts of consecutive models."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shapes: Description = copy.deepcopy(FIRST)

    def generate(self) -> tuple[str, locks.Lock]:
        operation = {
            "name": "GetThing",
            "http": {"method": "GET", "requestUri": "/thing"},
            "output": {"shape": "Thing"},
        }
        model = {**description(), "shapes": self.shapes, "operations": {"GetThing": operation}}
        for path, text in generate(SPEC, self.root, service_of(model)).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        proto, lock = sorted(self.root.rglob("toy.*"), key=lambda path: path.suffix)[::-1]
        return proto.read_text(), locks.load(lock)

    def rename(self, old: str, new: str) -> None:
        self.shapes[new] = self.shapes.pop(old)
        for shape in self.shapes.values():
            for reference in (shape.get("member"), *shape.get("members", {}).values()):
                if reference and reference["shape"] == old:
                    reference["shape"] = new

    def point(self, owner: str, member: str, shape: str) -> None:
        self.shapes[owner]["members"][member] = {"shape": shape}


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path)
    made.generate()
    return made


def lasting(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if " = " in line]


def rename_item(history: History) -> None:
    history.rename("Item", "Entry")


def rename_list(history: History) -> None:
    history.rename("Items", "Entries")


def rename_enum(history: History) -> None:
    history.rename("Kind", "Sort")


def join(history: History) -> None:
    history.point("Thing", "b", "Item")
    del history.shapes["B"]


def join_under_a_new_name(history: History) -> None:
    join(history)
    rename_item(history)


@pytest.mark.parametrize(
    "change", [rename_item, rename_list, rename_enum, join, join_under_a_new_name]
)
def test_contract_stays_the_same(history: History, change: Callable[[History], None]) -> None:
    before, _ = history.generate()
    change(history)
    after, lock = history.generate()
    assert lasting(after) == lasting(before)
    again, _ = history.generate()
    assert again == after
    assert not any(entry.retired for scope in lock.messages.values() for entry in scope.entries)


def test_renamed_shape_goes_on_as_the_same_message(history: History) -> None:
    """What it gains and loses afterwards, it gains and loses as itself."""
    history.rename("Item", "Entry")
    history.point("Entry", "more", "Text")
    _, lock = history.generate()
    assert lock.shapes == {"Item": "Entry"}
    del history.shapes["Entry"]["members"]["id"]
    text, lock = history.generate()
    assert "repeated Item items = 1;" in text
    assert [entry.key for entry in lock.messages["Item"].entries if entry.retired] == ["id"]
    assert "Entry" not in lock.messages


def test_another_shape_of_the_old_name_is_another_message(history: History) -> None:
    history.rename("Item", "Entry")
    history.generate()
    history.shapes["Item"] = {"type": "structure", "members": {"other": {"shape": "Text"}}}
    history.point("Thing", "other", "Item")
    text, lock = history.generate()
    assert "repeated Item items = 1;" in text
    assert "ItemV2 other = 4;" in text
    assert lock.shapes == {"Item": "Entry", "ItemV2": "Item"}


def test_split_shape_shares_the_message_while_both_are_equal(history: History) -> None:
    history.shapes["Part"] = copy.deepcopy(FIRST["Item"])
    history.shapes["Items"]["member"] = {"shape": "Part"}
    history.point("Thing", "one", "Item")
    text, _ = history.generate()
    assert "repeated Item items = 1;" in text
    assert "Item one = 4;" in text
    assert "message Part" not in text
    history.point("Part", "more", "Text")
    text, _ = history.generate()
    assert "repeated Part items_v2 = 5" in text
    assert "Item one = 4;" in text


def test_shape_with_less_is_no_renamed_one(history: History) -> None:
    history.rename("Item", "Entry")
    del history.shapes["Entry"]["members"]["id"]
    text, _ = history.generate()
    assert "repeated Entry items_v2 =" in text


def test_exchanged_shapes_are_no_renamed_ones(history: History) -> None:
    history.shapes["B"]["members"] = {"other": {"shape": "Text"}}
    history.generate()
    history.point("Thing", "b", "Item")
    text, _ = history.generate()
    assert "Item b_v2 =" in text


def test_integer_that_becomes_a_long_keeps_its_number(history: History) -> None:
    history.point("Item", "count", "Count")
    history.shapes["Counts"] = {"type": "list", "member": {"shape": "Count"}}
    history.point("Item", "counts", "Counts")
    text, _ = history.generate()
    history.shapes["Count"] = {"type": "long"}
    wide, _ = history.generate()
    assert lasting(wide) == [line.replace("int32", "int64") for line in lasting(text)]
    history.shapes["Count"] = {"type": "integer"}
    assert history.generate()[0] == wide
