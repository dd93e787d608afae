"""A second converter between boto3's dicts and the contract, to compare the server's with.

It shares no code with `taskgate_server.rpc`: it implements the rules of the contract directly,
traverses descriptors and shapes at each call, and validates nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from taskgate_server.aws import model

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMESTAMP = "google.protobuf.Timestamp"
_DOCUMENT = "google.protobuf.Value"


def field_of(message: Message | Descriptor, member: str) -> FieldDescriptor:
    """Return the field of an AWS member."""
    descriptor: Any = message.DESCRIPTOR if isinstance(message, Message) else message
    for field in descriptor.fields:
        if field.json_name == member:
            found: FieldDescriptor = field
            return found
    raise AssertionError(f"{descriptor.full_name} has no field for {member}")


def _entry_value(field: FieldDescriptor) -> FieldDescriptor:
    """Return the field of a map's values."""
    entry = field.message_type
    assert entry is not None
    value: FieldDescriptor = entry.fields_by_name["value"]
    return value


@cache
def word_numbers(shape: model.Shape, enum: EnumDescriptor) -> dict[str, int]:
    """Map AWS's enum values to the enum's numbers, by letters and digits."""

    def letters(text: str) -> str:
        return re.sub("[^0-9A-Z]", "", text.upper())

    numbers = {letters(value.name): value.number for value in enum.values if value.number}
    zero = letters(enum.values[0].name)
    words = {word: letters(enum.name + word) for word in model.enum_values(shape)}
    # AWS's own word "unspecified" is not the zero value.
    words = {word: f"{name}VALUE" if name == zero else name for word, name in words.items()}
    # A word that AWS has dropped stays in the enum.
    assert set(words.values()) <= set(numbers), f"{enum.full_name} and {shape.name} differ"
    return {word: numbers[name] for word, name in words.items()}


# --- boto3's dict -> message ----------------------------------------------------------------------


def write(message: Any, shape: model.StructureShape, params: Mapping[str, Any]) -> None:
    """Fill a structure's message."""
    for member, value in params.items():
        target, field = shape.members[member], field_of(message, member)
        if isinstance(target, model.ListShape | model.MapShape) and field.is_repeated:
            _write_container(message, field, target, value)
            if not value:
                message.empty_members.append(field.name)
        elif field.message_type is not None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _write_message(inner, target, value)
        elif field.enum_type is None:
            setattr(message, field.name, value)
        else:
            number = _number(message, field.enum_type, target, value, field.name)
            if number is not None:
                setattr(message, field.name, number)


def _write_message(message: Any, shape: model.Shape, value: Any) -> None:
    name = message.DESCRIPTOR.full_name
    if name == _TIMESTAMP:
        message.seconds = (value - _EPOCH) // timedelta(seconds=1)
        message.nanos = value.microsecond * 1000
    elif name == _DOCUMENT:
        write_document(message, value)
    elif isinstance(shape, model.StructureShape):
        write(message, shape, value)
    else:
        _write_container(message, field_of(message, "values"), shape, value)


def _write_container(message: Any, field: FieldDescriptor, shape: model.Shape, value: Any) -> None:
    container = getattr(message, field.name)
    if isinstance(shape, model.MapShape):
        field_of_value = _entry_value(field)
        for key, each in value.items():
            if field_of_value.message_type is not None:
                _write_message(container[key], shape.value, each)
            elif field_of_value.enum_type is not None:
                path = f"{field.name}[{json.dumps(key)}]"
                enum = field_of_value.enum_type
                container[key] = _number(message, enum, shape.value, each, path) or 0
            else:
                container[key] = each
        return
    assert isinstance(shape, model.ListShape)
    for index, each in enumerate(value):
        if field.message_type is not None:
            _write_message(container.add(), shape.member, each)
        elif field.enum_type is not None:
            path = f"{field.name}[{index}]"
            number = _number(message, field.enum_type, shape.member, each, path)
            container.append(number or 0)
        else:
            container.append(each)


def _number(
    message: Any, enum: EnumDescriptor, shape: model.Shape, word: str, path: str
) -> int | None:
    number = word_numbers(shape, enum).get(word)
    if number is None:
        message.unrecognized_values[path] = word
    return number


def write_document(message: Any, value: Any) -> None:
    """Fill a google.protobuf.Value."""
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int | float):
        message.number_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, list):
        message.list_value.SetInParent()
        for each in value:
            write_document(message.list_value.values.add(), each)
    else:
        message.struct_value.SetInParent()
        for key, each in value.items():
            write_document(message.struct_value.fields[key], each)


# --- message -> boto3's dict ----------------------------------------------------------------------


def read(message: Any, shape: model.StructureShape) -> dict[str, Any]:
    """Convert a message to a structure."""
    result: dict[str, Any] = {}
    for member, target in shape.members.items():
        field = field_of(message, member)
        if field.is_repeated:
            container = _read_container(message, field, target)
            if container or field.name in message.empty_members:
                result[member] = container
        elif message.HasField(field.name):
            result[member] = _read_single(message, field, target)
        elif field.name in _unrecognized(message):
            result[member] = message.unrecognized_values[field.name]
    if model.is_union(shape) and message.HasField("unknown_member"):
        result["SDK_UNKNOWN_MEMBER"] = {"name": message.unknown_member}
    return result


def _read_single(message: Any, field: FieldDescriptor, shape: model.Shape) -> Any:
    return _read_element(message, field, shape, getattr(message, field.name), field.name)


def _read_message(message: Any, shape: model.Shape) -> Any:
    name = message.DESCRIPTOR.full_name
    if name == _TIMESTAMP:
        # boto3 has no more than microseconds.
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    if name == _DOCUMENT:
        return _read_document(message)
    if isinstance(shape, model.StructureShape):
        return read(message, shape)
    return _read_container(message, field_of(message, "values"), shape)


def _read_container(message: Any, field: FieldDescriptor, shape: model.Shape) -> Any:
    container = getattr(message, field.name)
    if isinstance(shape, model.MapShape):
        of_value = _entry_value(field)
        return {
            key: _read_element(message, of_value, shape.value, container[key], path)
            for key in container
            for path in [f"{field.name}[{json.dumps(key)}]"]
        }
    assert isinstance(shape, model.ListShape)
    return [
        _read_element(message, field, shape.member, value, f"{field.name}[{index}]")
        for index, value in enumerate(container)
    ]


def _read_element(
    message: Any, field: FieldDescriptor, shape: model.Shape, value: Any, path: str
) -> Any:
    if field.message_type is not None:
        return _read_message(value, shape)
    if field.enum_type is not None:
        return _word(message, field.enum_type, shape, value, path)
    return value


def _word(message: Any, enum: EnumDescriptor, shape: model.Shape, number: int, path: str) -> str:
    if number == 0:
        return str(message.unrecognized_values[path])
    return next(word for word, each in word_numbers(shape, enum).items() if each == number)


def _unrecognized(message: Any) -> Mapping[str, str]:
    return getattr(message, "unrecognized_values", {})


def _read_document(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        fields = message.struct_value.fields
        return {key: _read_document(fields[key]) for key in fields}
    if kind == "list_value":
        return [_read_document(each) for each in message.list_value.values]
    return None if kind == "null_value" else getattr(message, kind)
