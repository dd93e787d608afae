"""Compares two contracts on the wire: descriptors, and bytes that one side sends to the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.message import Message
from grpc_tools import protoc

from tests.support.contract.comparison import known_differences

_INCLUDE = Path(protoc.__file__).with_name("_proto")
_DEPTH = 4
"""Levels of messages that are filled; recursive ones have no end."""
_INTEGERS = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64)


class Compiled:
    """The descriptors of one proto file."""

    def __init__(self, folder: Path, proto: str) -> None:
        (folder / "toy.proto").write_text(proto)
        image = folder / "image.binpb"
        paths = (f"--proto_path={folder}", f"--proto_path={_INCLUDE}")
        options = (f"--descriptor_set_out={image}", "--include_imports")
        assert protoc.main(["protoc", *paths, *options, "toy.proto"]) == 0
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file:
            pool.Add(file)
        self.file = pool.FindFileByName("toy.proto")

    @property
    def messages(self) -> dict[str, Descriptor]:
        return dict(self.file.message_types_by_name)


def wire_faults(old: Compiled, new: Compiled) -> list[str]:
    """Return what a client of the old contract would misread or lose without an error."""
    (old_service,), (new_service,) = (each.file.services_by_name.values() for each in (old, new))
    faults = []
    for name in {*old_service.methods_by_name} & {*new_service.methods_by_name}:
        before, after = old_service.methods_by_name[name], new_service.methods_by_name[name]
        if before.server_streaming != after.server_streaming:
            faults.append(f"{name}: streams")
        response = filled(message_of(after.output_type))
        read = message_of(before.output_type)
        read.ParseFromString(response.SerializeToString())
        faults += known_differences(read, response, name)
    for name in old.messages.keys() & new.messages.keys():
        faults += _field_faults(old.messages[name], new.messages[name])
    for name, enum in old.file.enum_types_by_name.items():
        values = new.file.enum_types_by_name.get(name)
        if values is not None:
            lost = {*enum.values_by_name} - {*values.values_by_name}
            faults += [f"{name}.{each}: lost" for each in sorted(lost)]
    return faults


def _field_faults(old: Descriptor, new: Descriptor) -> Iterator[str]:
    proto = DescriptorProto()
    new.CopyToProto(proto)
    reserved = {each.start for each in proto.reserved_range}
    for number, field in old.fields_by_number.items():
        after = new.fields_by_number.get(number)
        if after is None:
            if number not in reserved or field.name not in proto.reserved_name:
                yield f"{old.name}.{field.name}: its number {number} is free"
        elif (field.name, field.json_name) != (after.name, after.json_name):
            yield f"{old.name}.{field.name}: its number is now {after.name}'s"
        elif not _is_same(field, after):
            yield f"{old.name}.{field.name}: has another type"


def _is_same(old: FieldDescriptor, new: FieldDescriptor) -> bool:
    if old.is_repeated != new.is_repeated:
        return False
    if old.type in _INTEGERS:
        return _INTEGERS.index(old.type) <= _INTEGERS.index(new.type)
    return old.type == new.type and _type_name(old) == _type_name(new)


def _type_name(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    return named.full_name if named is not None else ""


def message_of(descriptor: Descriptor) -> Any:
    """Return an empty message."""
    return message_factory.GetMessageClass(descriptor)()


def filled(message: Message, depth: int = _DEPTH) -> Message:
    """Set every field of a message, of a oneof the last one, and return the message."""
    for field in message.DESCRIPTOR.fields:
        entry = field.message_type
        is_map = entry is not None and entry.GetOptions().map_entry
        of: Any = entry.fields_by_name["value"] if entry is not None and is_map else field
        if of.message_type is not None and depth == 0:
            continue
        target: Any = getattr(message, field.name)
        if is_map and of.message_type is not None:
            filled(target["key"], depth - 1)
        elif is_map:
            target["key"] = _value(of)
        elif field.is_repeated:
            filled(target.add(), depth - 1) if of.message_type else target.append(_value(of))
        elif of.message_type is not None:
            target.SetInParent()
            filled(target, depth - 1)
        else:
            setattr(message, field.name, _value(of))
    return message


def _value(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return max(field.enum_type.values_by_number)
    values = {
        FieldDescriptor.CPPTYPE_STRING: b"x" if field.type == FieldDescriptor.TYPE_BYTES else "x",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: 1.5,
    }
    return values.get(field.cpp_type, 7)
