"""Requests of old clients with fields that the contract no longer has."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.rpc.request_converter import RequestCompiler, validate


def fields(*names: str, **options: Any) -> list[dict[str, Any]]:
    made = {"type": "TYPE_STRING", "label": "LABEL_OPTIONAL", **options}
    return [{"name": name, "number": number, **made} for number, name in enumerate(names, start=1)]


OLD_ITEM = {"name": "Item", "field": fields("id", "status", "note", "size_v2")}
NEW_ITEM = {
    "name": "Item",
    "field": [
        *fields("id"),
        {**fields("status_v3")[0], "number": 5, "jsonName": "status"},
        {**fields("size")[0], "number": 6},
    ],
    "reservedRange": [{"start": number, "end": number + 1} for number in (2, 3, 4)],
    "reservedName": ["status", "note", "size_v2"],
}
THING = {
    "name": "Thing",
    "field": [
        *fields("items", type="TYPE_MESSAGE", typeName="Item", label="LABEL_REPEATED"),
        {**fields("empty_members", label="LABEL_REPEATED")[0], "number": 2},
    ],
}

SHAPES = {
    "Thing": {"type": "structure", "members": {"items": {"shape": "Items"}}},
    "Items": {"type": "list", "member": {"shape": "Item"}},
    "Item": {
        "type": "structure",
        "members": {name: {"shape": "Text"} for name in ("id", "status", "size")},
    },
    "Text": {"type": "string"},
}


def thing(item: dict[str, Any]) -> Any:
    file = {"name": "thing.proto", "syntax": "proto3", "messageType": [THING, item]}
    pool = descriptor_pool.DescriptorPool()
    pool.Add(json_format.ParseDict(file, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Thing"))()


def message_of(**item: str) -> str:
    """Return the message of the error of an old client's request."""
    old, new = thing(OLD_ITEM), thing(NEW_ITEM)
    old.items.add(**item)
    new.ParseFromString(old.SerializeToString())
    shape: Any = model.ServiceModel({"metadata": {}, "shapes": SHAPES}, "toy").shape_for("Thing")
    with pytest.raises(errors.TaskgateError) as raised:
        validate(RequestCompiler().structure(shape, new.DESCRIPTOR), new)
    return str(raised.value).partition("INVALID_REQUEST: ")[2]


def test_replaced_field_names_its_replacement() -> None:
    message = message_of(id="1", status="READY")
    assert message == "items[0].status: was replaced by status_v3: set that instead"


def test_removed_field_was_removed() -> None:
    message = message_of(id="1", note="-")
    assert message == "items[0].note: was removed: AWS's API no longer has it"


def test_member_with_a_name_like_a_version_is_not_replaced_by_its_namesake() -> None:
    assert "items[0].size_v2: was removed" in message_of(size_v2="3")


def test_each_field_is_reported() -> None:
    assert message_of(status="READY", note="-", size_v2="-").count("items[0].") == 3


def test_many_bytes_may_be_of_a_retired_field() -> None:
    assert "or were removed from AWS's API" in message_of(note="-" * 5_000)


def test_present_fields_are_sent() -> None:
    request = thing(NEW_ITEM)
    request.items.add(id="1", status_v3="READY")
    shape: Any = model.ServiceModel({"metadata": {}, "shapes": SHAPES}, "toy").shape_for("Thing")
    params = validate(RequestCompiler().structure(shape, request.DESCRIPTOR), request)
    assert params == {"items": [{"id": "1", "status": "READY"}]}
