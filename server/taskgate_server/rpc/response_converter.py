"""Conversion of AWS's responses to message fields: one small function per shape type.

The input is AWS's JSON with the members from headers (`upstream.aws_client`), fitted to AWS's model
(`aws.fitting`). The output are nested dicts for protobuf's constructor, which is twice as fast as
setting field by field. Members that the contract lacks are dropped, as boto3 drops those that its
model lacks.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value

from taskgate_server.aws import model, naming, timestamps
from taskgate_server.rpc.fields import element, enum_of, message_of

Convert: TypeAlias = Callable[[Any], Any]
Fields: TypeAlias = dict[str, Any]
Plan: TypeAlias = tuple[str, Convert | None, bool]
"""The field of a member, the conversion of its value, and whether it is a list or map."""
Unrecognized: TypeAlias = dict[str, str]
ConvertEnums: TypeAlias = Callable[[Any, str, Unrecognized], Any]
"""Converts enum values; those that the contract lacks go into the map under their path."""

TYPE_TAG = "__type"
"""A key beside a union's member with the name of its type; it is no member:
https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html"""


class ResponseCompiler:
    """Compiles each structure once; recursive ones refer to themselves.

    By shape and message, since equal shapes may share a message, and joined ones have several.
    """

    def __init__(self) -> None:
        self._structures: dict[tuple[str, str], Convert] = {}

    def structure(self, shape: model.StructureShape, descriptor: Descriptor) -> Convert:
        """Return the conversion of a response's dict to the fields of a message."""
        known = self._structures.get((shape.name, descriptor.full_name))
        if known is not None:
            return known
        plain: dict[str, Plan] = {}
        enums: dict[str, tuple[str, ConvertEnums]] = {}
        convert = _union(plain, enums) if model.is_union(shape) else _structure(plain, enums)
        self._structures[shape.name, descriptor.full_name] = convert
        fields = {field.json_name: field for field in descriptor.fields}
        for member, target in shape.members.items():
            field = fields.get(member)
            if field is None or target.serialization.get("streaming"):
                continue
            words = enum_of(field)
            key = _key(member, target)
            if words is None:
                plain[key] = (field.name, self._value(target, field), field.is_repeated)
            else:
                enums[key] = (field.name, _enum_container(target, words))
        return convert

    def _value(self, shape: model.Shape, field: FieldDescriptor) -> Convert | None:
        """Return the conversion of the values of a field; None to use them unchanged."""
        if isinstance(shape, model.ListShape | model.MapShape) and field.is_repeated:
            return self._container(shape, element(field))
        return self._single(shape, field)

    def _container(self, shape: model.Shape, element: FieldDescriptor) -> Convert:
        if isinstance(shape, model.ListShape):
            return _list(self._single(shape.member, element))
        if isinstance(shape, model.MapShape):
            return _map(self._single(shape.value, element))
        raise TypeError(f"{shape.name} is neither list nor map")

    def _single(self, shape: model.Shape, field: FieldDescriptor) -> Convert | None:
        if isinstance(shape, model.ListShape | model.MapShape):
            return self._wrapper(shape, message_of(field))
        if model.is_document(shape):
            return to_document
        if isinstance(shape, model.StructureShape):
            return self.structure(shape, message_of(field))
        return LEAVES[shape.type_name]

    def _wrapper(self, shape: model.Shape, descriptor: Descriptor) -> Convert:
        values = descriptor.fields_by_name[naming.WRAPPED_VALUES]
        words = enum_of(values)
        if words is not None:
            return _wrapped_enums(_enum_container(shape, words))
        convert = self._container(shape, element(values))
        return lambda value: {naming.WRAPPED_VALUES: convert(value)}


def _key(member: str, target: model.Shape) -> str:
    """Return the key of a member: its wire name in the body, its own name from a header."""
    if "location" in target.serialization:
        return member
    return str(target.serialization.get("name", member))


def _structure(plain: Mapping[str, Plan], enums: Mapping[str, tuple[str, ConvertEnums]]) -> Convert:
    def convert(response: Mapping[str, Any]) -> Fields:
        fields: Fields = {}
        for member, value in response.items():
            if value is None:
                continue
            plan = plain.get(member)
            if plan is not None:
                name, convert_value, is_container = plan
                fields[name] = converted = convert_value(value) if convert_value else value
                if is_container and not converted:
                    fields.setdefault(naming.EMPTY_MEMBERS, []).append(name)
            elif member in enums:
                _add_enums(fields, enums[member], value)
        return fields

    return convert


def _add_enums(fields: Fields, plan: tuple[str, ConvertEnums], value: Any) -> None:
    name, convert = plan
    unrecognized: Unrecognized = {}
    converted = convert(value, name, unrecognized)
    if converted is not None:
        fields[name] = converted
    if converted in ([], {}):
        fields.setdefault(naming.EMPTY_MEMBERS, []).append(name)
    if unrecognized:
        fields.setdefault(naming.UNRECOGNIZED_VALUES, {}).update(unrecognized)


def _union(plain: Mapping[str, Plan], enums: Mapping[str, tuple[str, ConvertEnums]]) -> Convert:
    known = _structure(plain, enums)

    def convert(response: Mapping[str, Any]) -> Fields:
        if len(response) == 1:
            [(tag, value)] = response.items()
            if value is not None and (tag in plain or tag in enums):
                only: Fields = known(response)
                return only
        tags = [tag for tag, value in response.items() if value is not None and tag != TYPE_TAG]
        named = [tag for tag in tags if tag in plain or tag in enums]
        if len(named) == 1:
            fields: Fields = known({named[0]: response[named[0]]})
            return fields
        # No member of the contract, or several, which is ambiguous. botocore rejects the whole
        # response for it, and with it a page of 100 good tasks.
        return {naming.UNKNOWN_MEMBER: ",".join(sorted(named or tags))} if tags else {}

    return convert


def _list(convert: Convert | None) -> Convert:
    if convert is None:
        return lambda values: values
    return lambda values: [convert(value) for value in values]


def _map(convert: Convert | None) -> Convert:
    if convert is None:
        return lambda values: values
    return lambda values: {key: convert(value) for key, value in values.items()}


def _timestamp(value: str | float) -> Fields:
    seconds, nanos = timestamps.to_seconds_and_nanos(value)
    return {"seconds": seconds, "nanos": nanos}


def _blob(value: Any) -> bytes:
    # Bytes come from the body itself, text from JSON.
    return value if type(value) is bytes else base64.b64decode(value, validate=True)


LEAVES: Mapping[str, Convert | None] = {
    "blob": _blob,
    "boolean": None,
    "double": None,
    "float": None,
    "integer": None,
    "long": None,
    "string": None,
    "timestamp": _timestamp,
}
"""The conversion of each scalar shape type; None for unchanged values."""


def to_document(value: Any) -> Value:
    """Convert any JSON value."""
    if value is None:
        return Value(null_value=NullValue.NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, Mapping):
        fields = {key: to_document(each) for key, each in value.items()}
        return Value(struct_value=Struct(fields=fields))
    if isinstance(value, list):
        return Value(list_value=ListValue(values=[to_document(each) for each in value]))
    return Value(number_value=value)


def _enum_container(shape: model.Shape, enum: EnumDescriptor) -> ConvertEnums:
    if isinstance(shape, model.ListShape):
        return _enum_list(_numbers(shape.member, enum))
    if isinstance(shape, model.MapShape):
        return _enum_map(_numbers(shape.value, enum))
    return _enum(_numbers(shape, enum))


def _numbers(shape: model.Shape, enum: EnumDescriptor) -> dict[str, int]:
    """Return the contract's number of each of AWS's enum values that both know."""
    names = {word: naming.enum_value_name(enum.name, word) for word in model.enum_values(shape)}
    return {
        word: enum.values_by_name[name].number
        for word, name in names.items()
        if name in enum.values_by_name
    }


def _enum(numbers: Mapping[str, int]) -> ConvertEnums:
    def convert(word: str, path: str, unrecognized: Unrecognized) -> int | None:
        number = numbers.get(word)
        if number is None:
            unrecognized[path] = word
        return number

    return convert


def _enum_list(numbers: Mapping[str, int]) -> ConvertEnums:
    single = _enum(numbers)
    return lambda words, path, unrecognized: [
        single(word, f"{path}[{index}]", unrecognized) or 0 for index, word in enumerate(words)
    ]


def _enum_map(numbers: Mapping[str, int]) -> ConvertEnums:
    single = _enum(numbers)
    return lambda words, path, unrecognized: {
        key: single(word, f"{path}[{json.dumps(key)}]", unrecognized) or 0
        for key, word in words.items()
    }


def _wrapped_enums(convert: ConvertEnums) -> Convert:
    def wrap(value: Any) -> Fields:
        fields: Fields = {}
        _add_enums(fields, (naming.WRAPPED_VALUES, convert), value)
        fields.pop(naming.EMPTY_MEMBERS, None)  # the presence of the wrapper says it
        return fields

    return wrap
