"""AWS's answers as the fields of messages: one small function per shape type, chosen once.

In: the dict that boto3 gives, timestamps still AWS's text (`upstream.clients` sees to it).
Out: nested dicts for protobuf's constructor, which is twice as fast as setting field by field.
Members that the contract does not have are dropped, as boto3 drops what its model does not have.
Counterpart: `to_params`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value

from taskgate_server.aws import model, naming, timestamps
from taskgate_server.rpc.fields import element, enum_of, message_of

Convert: TypeAlias = Callable[[Any], Any]
Fields: TypeAlias = dict[str, Any]
Unrecognized: TypeAlias = dict[str, str]
ConvertEnums: TypeAlias = Callable[[Any, str, Unrecognized], Any]
"""Converts enum words; those that the contract lacks go into the map under their path."""

EXACT_INTEGER = 2**53
"""A document's numbers are doubles in protobuf: integers up to here are exact."""

UNKNOWN_MEMBER = "SDK_UNKNOWN_MEMBER"
"""botocore's tag for a union member that its model does not have; the value is lost there."""


class AnswerCompiler:
    """Compiles each structure once, by its message; recursive ones refer to themselves."""

    def __init__(self) -> None:
        self._structures: dict[str, Convert] = {}

    def structure(self, shape: model.StructureShape, descriptor: Descriptor) -> Convert:
        """The function from an answer's dict to the fields of `descriptor`'s message."""
        known = self._structures.get(descriptor.full_name)
        if known is not None:
            return known
        plain: dict[str, tuple[str, Convert | None]] = {}
        enums: dict[str, tuple[str, ConvertEnums]] = {}
        convert = _union(plain, enums) if model.is_union(shape) else _structure(plain, enums)
        self._structures[descriptor.full_name] = convert
        fields = {field.json_name: field for field in descriptor.fields}
        for member, target in shape.members.items():
            field = fields.get(member)
            if field is None or target.serialization.get("streaming"):
                continue
            words = enum_of(field)
            if words is None:
                plain[member] = (field.name, self._value(target, field))
            else:
                enums[member] = (field.name, _enum_container(target, words))
        return convert

    def _value(self, shape: model.Shape, field: FieldDescriptor) -> Convert | None:
        """The function for what a field holds; None where the value goes as it is."""
        if isinstance(shape, model.ListShape | model.MapShape):
            if not field.is_repeated:
                return self._wrapper(shape, message_of(field))
            return self._container(shape, element(field))
        return self._single(shape, field)

    def _container(self, shape: model.Shape, element: FieldDescriptor) -> Convert | None:
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
        return _timestamp if shape.type_name == "timestamp" else None

    def _wrapper(self, shape: model.Shape, descriptor: Descriptor) -> Convert:
        values = descriptor.fields_by_name[naming.WRAPPED_VALUES]
        words = enum_of(values)
        if words is not None:
            return _wrapped_enums(_enum_container(shape, words))
        convert = self._container(shape, element(values))
        return lambda value: {naming.WRAPPED_VALUES: convert(value) if convert else value}


def _structure(
    plain: Mapping[str, tuple[str, Convert | None]], enums: Mapping[str, tuple[str, ConvertEnums]]
) -> Convert:
    def convert(answer: Mapping[str, Any]) -> Fields:
        fields: Fields = {}
        for member, value in answer.items():
            if value is None:
                continue
            plan = plain.get(member)
            if plan is not None:
                name, convert_value = plan
                fields[name] = convert_value(value) if convert_value else value
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
    if unrecognized:
        fields.setdefault(naming.UNRECOGNIZED_VALUES, {}).update(unrecognized)


def _union(
    plain: Mapping[str, tuple[str, Convert | None]], enums: Mapping[str, tuple[str, ConvertEnums]]
) -> Convert:
    known = _structure(plain, enums)

    def convert(answer: Mapping[str, Any]) -> Fields:
        unknown = answer.get(UNKNOWN_MEMBER)
        if unknown is not None:
            return {naming.UNKNOWN_MEMBER: unknown["name"]}
        return known(answer)  # type: ignore[no-any-return]  # `Convert` gives what its shape needs

    return convert


def _list(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda values: [convert(value) for value in values]


def _map(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    # AWS sends null for a union value that it cannot tell: a message with nothing set.
    return lambda values: {
        key: {} if value is None else convert(value) for key, value in values.items()
    }


def _timestamp(value: str | float) -> Fields:
    seconds, nanos = timestamps.to_seconds_and_nanos(value)
    return {"seconds": seconds, "nanos": nanos}


def to_document(value: Any) -> Value:
    """Any JSON value as protobuf's.

    Raises:
        ValueError: an integer that a double cannot hold exactly.
    """
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
    if isinstance(value, int) and abs(value) > EXACT_INTEGER:
        raise ValueError("holds an integer past 2^53, which a document cannot carry exactly")
    return Value(number_value=value)


def _enum_container(shape: model.Shape, enum: EnumDescriptor) -> ConvertEnums:
    if isinstance(shape, model.ListShape):
        return _enum_list(_numbers(shape.member, enum))
    if isinstance(shape, model.MapShape):
        return _enum_map(_numbers(shape.value, enum))
    return _enum(_numbers(shape, enum))


def _numbers(shape: model.Shape, enum: EnumDescriptor) -> dict[str, int]:
    """AWS's words to the contract's numbers, for the words that both know."""
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
        return fields

    return wrap
