"""Two AWS shapes with equal members share a message, but not their constraints."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from taskgate_server import errors
from taskgate_server.aws import model
from taskgate_server.rpc.request_converter import RequestCompiler, validate

ITEM_FIELD = {"label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": "Item"}
TEXT_FIELD = {"label": "LABEL_OPTIONAL", "type": "TYPE_STRING", "name": "id", "number": 1}
FILE = {
    "name": "shared.proto",
    "syntax": "proto3",
    "messageType": [
        {
            "name": "Thing",
            "field": [
                {"name": "short", "number": 1, **ITEM_FIELD},
                {"name": "long", "number": 2, **ITEM_FIELD},
            ],
        },
        {"name": "Item", "field": [TEXT_FIELD]},
    ],
}
SHAPES = {
    "Thing": {
        "type": "structure",
        "members": {"short": {"shape": "ShortItem"}, "long": {"shape": "LongItem"}},
    },
    "ShortItem": {"type": "structure", "members": {"id": {"shape": "Short"}}},
    "LongItem": {"type": "structure", "members": {"id": {"shape": "Long"}}},
    "Short": {"type": "string", "max": 1},
    "Long": {"type": "string", "max": 9},
}


def test_each_shape_has_its_constraints() -> None:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(json_format.ParseDict(FILE, descriptor_pb2.FileDescriptorProto()))
    thing: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("Thing"))()
    thing.short.id = thing.long.id = "123"
    shape: Any = model.ServiceModel({"metadata": {}, "shapes": SHAPES}, "toy").shape_for("Thing")
    structure = RequestCompiler().structure(shape, thing.DESCRIPTOR)
    with pytest.raises(errors.TaskgateError, match=r"short\.id: has length 3") as raised:
        validate(structure, thing)
    assert "long.id" not in str(raised.value)
    thing.short.id, thing.long.id = "1", "1234567890"
    with pytest.raises(errors.TaskgateError, match=r"long\.id: has length 10"):
        validate(structure, thing)
