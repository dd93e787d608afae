"""Schemas of everything that protobuf has, also what no message of the contract has."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import (
    any_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from taskgate_server.http.json_schemas import MessageSchemas, Schema
from taskgate_server.http.proto_comments import ProtoComments
from taskgate_server.http.request_schemas import RequestSchemas
from taskgate_server.rpc.descriptor_files import DescriptorFiles
from tests.support.contract.any_message import fill
from tests.support.openapi_document import Judge, to_json
from tests.support.seeds import VOLUME, examples, seeded

WELL_KNOWN = (
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
SCALARS = [
    kind
    for name, kind in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
]
KEYS = [
    FieldDescriptorProto.TYPE_BOOL,
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_STRING,
]
MESSAGES = [
    *("Any", "Duration", "Empty", "FieldMask", "Struct", "ListValue", "Timestamp", "Value"),
    *(f"{kind}Value" for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String")),
    *("UInt32Value", "UInt64Value"),
]


def everything() -> Descriptor:
    """Return a message with fields of all types, singular, repeated and in a oneof, and maps."""
    pool = descriptor_pool.DescriptorPool()
    for module in WELL_KNOWN:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    names = [module.DESCRIPTOR.name for module in WELL_KNOWN]
    file = FileDescriptorProto(name="all.proto", package="all", syntax="proto3", dependency=names)
    message = file.message_type.add(name="Everything")
    message.oneof_decl.add(name="one")
    message.oneof_decl.add(name="other")
    for kind in SCALARS:
        add(message, type=kind)
        add(message, type=kind, label=FieldDescriptorProto.LABEL_REPEATED)
    for index, name in enumerate(MESSAGES):
        typed: Any = {
            "type": FieldDescriptorProto.TYPE_MESSAGE,
            "type_name": f".google.protobuf.{name}",
        }
        add(message, **typed)
        add(message, **typed, label=FieldDescriptorProto.LABEL_REPEATED)
        add(message, **typed, oneof_index=index % 2)
    add(
        message,
        type=FieldDescriptorProto.TYPE_ENUM,
        type_name=".google.protobuf.NullValue",
        oneof_index=0,
    )
    add(message, type=FieldDescriptorProto.TYPE_MESSAGE, type_name=".all.Everything")
    for kind in KEYS:
        add_map(message, kind)
    pool.Add(file)
    found: Descriptor = pool.FindMessageTypeByName("all.Everything")
    return found


def add(message: DescriptorProto, **traits: Any) -> FieldDescriptorProto:
    number = len(message.field) + 1
    return message.field.add(name=f"field_{number}", number=number, **traits)


def add_map(message: DescriptorProto, key: FieldDescriptorProto.Type.ValueType) -> None:
    field = add(
        message,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        label=FieldDescriptorProto.LABEL_REPEATED,
    )
    entry = message.nested_type.add(name=f"Field{field.number}Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=key)
    entry.field.add(
        name="value",
        number=2,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".google.protobuf.Timestamp",
    )
    field.type_name = f".all.Everything.{entry.name}"


EVERYTHING = everything()


@pytest.fixture(scope="module", params=["responses", "requests"])
def made(request: pytest.FixtureRequest) -> tuple[Schema, Judge]:
    """Return the schema of the message in responses, and in requests, with its judge."""
    components: dict[str, Schema] = {}
    comments = ProtoComments(DescriptorFiles(EVERYTHING.file.pool, []))
    kind = MessageSchemas if request.param == "responses" else RequestSchemas
    schema = kind(components, comments, lambda message: message.full_name).message(EVERYTHING)
    return schema, Judge({"components": {"schemas": components}})


def test_schema_allows_every_message(made: tuple[Schema, Judge]) -> None:
    schema, judge = made
    kind = message_factory.GetMessageClass(EVERYTHING)
    for number in range(examples(200) * VOLUME):
        message = kind()
        fill(message, seeded("everything", number))
        assert judge.faults(schema, to_json(message)) == []


@pytest.mark.parametrize("field", list(EVERYTHING.fields), ids=lambda field: str(field.name))
def test_schema_refuses_values_of_another_type(made: tuple[Schema, Judge], field: Any) -> None:
    schema, judge = made
    of_other_types: list[Any] = [1.5, "not any of them", True, [True], {"a": {"b": 1}}, [[1]]]
    accepted = [
        value for value in of_other_types if not judge.faults(schema, {field.json_name: value})
    ]
    # Values, lists of them and objects with any members take what they are made for.
    assert len(accepted) <= (
        6 if "Value" in str(field.message_type and field.message_type.name) else 2
    )
