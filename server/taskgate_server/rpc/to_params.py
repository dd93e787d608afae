"""Request messages as boto3 parameters, with every fault of the request found on the way.

In: a message. Out: the dict that boto3 takes, and faults under the caller's own field paths, such
as `identifiers[3].task_id`. Presence is kept: what the caller did not set is not sent.
Counterparts: `to_message` for answers, `aws.constraints` for what the model demands of one value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from taskgate_server.aws import model, naming, timestamps
from taskgate_server.aws.constraints import MISSING, NOT_FINITE, Check, compile_check
from taskgate_server.rpc.fields import element, enum_of, message_of

Params: TypeAlias = dict[str, Any]
Faults: TypeAlias = dict[str, str]
"""What is wrong with a request: field path to description, the first fault of each field."""
Unrecognized: TypeAlias = dict[str, str]
"""The enum words of one message that the contract lacks, by path; taken out as they are used."""
Convert: TypeAlias = Callable[[Any, str, Faults], Any]
"""Converts the value at a path, adding to the faults what is wrong with it."""
ConvertEnums: TypeAlias = Callable[[Any, str, Unrecognized], Any]
"""Converts enum numbers of the field of that name.

Raises:
    EnumError: a number without a word, or a key that the model does not allow.
"""


class EnumError(Exception):
    """What is wrong with one enum value, at a path within its message."""

    def __init__(self, path: str, description: str) -> None:
        super().__init__(path, description)
        self.path = path
        self.description = description


EXACT_INTEGER = 2**53


@dataclass(slots=True)
class Structure:
    """The compiled form of one message; filled after it is made, so that it may hold itself."""

    plain: dict[str, tuple[str, Convert | None]] = field(default_factory=dict)
    """Field -> AWS member and what converts its value."""
    enums: dict[str, tuple[str, ConvertEnums]] = field(default_factory=dict)
    """The same for fields that hold enum words."""
    required: dict[str, str] = field(default_factory=dict)
    """AWS member -> field, for those that the model requires."""
    empty: dict[str, tuple[str, type]] = field(default_factory=dict)
    """Field -> AWS member and what makes its empty value, for lists and maps."""
    checks: dict[str, Check] = field(default_factory=dict)
    """AWS member -> what the model demands of its size, for lists and maps."""
    is_union: bool = False

    def convert(self, message: Message, path: str, faults: Faults) -> Params:
        """The structure as boto3 takes it."""
        prefix = f"{path}." if path else ""
        params: Params = {}
        numbers: dict[str, Any] = {}
        for descriptor, value in message.ListFields():
            name = descriptor.name
            if name in self.plain:
                member, convert = self.plain[name]
                params[member] = convert(value, prefix + name, faults) if convert else value
            elif name in self.enums:
                numbers[name] = value
        self._add_own_fields(message, numbers, params, prefix, faults)
        self._require(params, prefix, faults)
        if self.is_union and not params and prefix + naming.UNKNOWN_MEMBER not in faults:
            faults[path] = "needs one member set"
        return params

    def _add_own_fields(
        self, message: Any, numbers: dict[str, Any], params: Params, prefix: str, faults: Faults
    ) -> None:
        """What Taskgate's own fields say, and what cannot be sent."""
        if self.enums:
            self._convert_enums(message, numbers, params, prefix, faults)
        if self.empty:
            self._add_empty(message, params, prefix, faults)
        if self.is_union and message.HasField(naming.UNKNOWN_MEMBER):
            faults[prefix + naming.UNKNOWN_MEMBER] = "names a union member that cannot be sent"
        unknown_fields: Any = UnknownFieldSet(message)  # its types lack the iterator
        for unknown in unknown_fields:
            # A field of a newer contract: without it AWS would be asked for something else.
            where = f"{prefix}#{unknown.field_number}"
            faults[where] = "is a field that this server does not know: it needs a newer Taskgate"

    def _convert_enums(
        self,
        message: Any,
        numbers: dict[str, Any],
        params: Params,
        prefix: str,
        faults: Faults,
    ) -> None:
        unrecognized: Unrecognized = dict(message.unrecognized_values)
        for name, (member, convert) in self.enums.items():
            try:
                if name in numbers:
                    params[member] = convert(numbers[name], name, unrecognized)
                    _note(self.checks.get(member), params[member], prefix + name, faults)
                elif name in unrecognized and name not in self.empty:
                    params[member] = _word(unrecognized, name)
            except EnumError as fault:
                faults[prefix + fault.path] = fault.description
        for stray in unrecognized:
            where = f"{prefix}{naming.UNRECOGNIZED_VALUES}[{json.dumps(stray)}]"
            faults[where] = "must be the path of an enum value that is left unspecified"

    def _add_empty(self, message: Any, params: Params, prefix: str, faults: Faults) -> None:
        for index, name in enumerate(message.empty_members):
            if name in self.empty and self.empty[name][0] not in params:
                self._set_empty(name, params, prefix, faults)
            else:
                where = f"{prefix}{naming.EMPTY_MEMBERS}[{index}]"
                faults[where] = "must name a list or map field of this message that has no value"

    def _set_empty(self, name: str, params: Params, prefix: str, faults: Faults) -> None:
        member, make = self.empty[name]
        params[member] = make()
        _note(self.checks.get(member), params[member], prefix + name, faults)

    def _require(self, params: Params, prefix: str, faults: Faults) -> None:
        for member, name in self.required.items():
            if member in params or prefix + name in faults:
                continue
            if name in self.empty:
                # An absent list is an empty one to most callers, so a required one is sent as such.
                self._set_empty(name, params, prefix, faults)
            else:
                faults[prefix + name] = MISSING


class RequestCompiler:
    """Compiles each structure once, by its message."""

    def __init__(self) -> None:
        self._structures: dict[str, Structure] = {}

    def structure(self, shape: model.StructureShape, descriptor: Descriptor) -> Structure:
        """The compiled form of `descriptor`'s message."""
        known = self._structures.get(descriptor.full_name)
        if known is not None:
            return known
        made = Structure(is_union=model.is_union(shape))
        self._structures[descriptor.full_name] = made
        fields = {field.json_name: field for field in descriptor.fields}
        for member, target in shape.members.items():
            field = fields.get(member)
            if field is None or target.serialization.get("streaming"):
                continue
            words = enum_of(field)
            if words is None:
                made.plain[field.name] = (member, self._value(target, field))
            else:
                made.enums[field.name] = (member, _enum_container(target, words))
            if model.is_required(shape, member) and not model.is_idempotency_token(target):
                made.required[member] = field.name
            self._plan_container(made, member, field, target)
        return made

    def _plan_container(
        self, made: Structure, member: str, field: FieldDescriptor, target: model.Shape
    ) -> None:
        if not field.is_repeated:
            return
        check = compile_check(target)
        if check is not None:
            made.checks[member] = check
        made.empty[field.name] = member, list if isinstance(target, model.ListShape) else dict

    def _value(self, shape: model.Shape, field: FieldDescriptor) -> Convert | None:
        """The function for what a field holds; None where the value goes as it is."""
        if isinstance(shape, model.ListShape | model.MapShape) and field.is_repeated:
            return self._container(shape, element(field))
        return self._single(shape, field)

    def _container(self, shape: model.Shape, of: FieldDescriptor) -> Convert:
        check = compile_check(shape)
        if isinstance(shape, model.ListShape):
            return _list(self._single(shape.member, of), check)
        if isinstance(shape, model.MapShape):
            return _map(self._single(shape.value, of), compile_check(shape.key), check)
        raise TypeError(f"{shape.name} is neither list nor map")

    def _single(self, shape: model.Shape, field: FieldDescriptor) -> Convert | None:
        if isinstance(shape, model.ListShape | model.MapShape):
            return self._wrapper(shape, message_of(field))
        if model.is_document(shape):
            return _document
        if isinstance(shape, model.StructureShape):
            return self.structure(shape, message_of(field)).convert
        if shape.type_name == "timestamp":
            return _timestamp
        return _checked(compile_check(shape))

    def _wrapper(self, shape: model.Shape, descriptor: Descriptor) -> Convert:
        values = descriptor.fields_by_name[naming.WRAPPED_VALUES]
        words = enum_of(values)
        if words is None:
            convert = self._container(shape, element(values))
            name = naming.WRAPPED_VALUES
            return lambda message, path, faults: convert(message.values, f"{path}.{name}", faults)
        return _wrapped_enums(_enum_container(shape, words), compile_check(shape))


def _checked(check: Check | None) -> Convert | None:
    if check is None:
        return None

    def convert(value: Any, path: str, faults: Faults) -> Any:
        fault = check(value)
        if fault is not None:
            faults[path] = fault
        return value

    return convert


def _list(convert: Convert | None, check: Check | None) -> Convert:
    def convert_list(values: Any, path: str, faults: Faults) -> list[Any]:
        items = list(values)
        _note(check, items, path, faults)
        if convert is None:
            return items
        return [convert(item, f"{path}[{index}]", faults) for index, item in enumerate(items)]

    return convert_list


def _map(convert: Convert | None, check_key: Check | None, check: Check | None) -> Convert:
    def convert_map(values: Mapping[str, Any], path: str, faults: Faults) -> Params:
        _note(check, values, path, faults)
        params: Params = {}
        for key, value in values.items():
            where = f"{path}[{json.dumps(key)}]"
            _note(check_key, key, where, faults, what="its key ")
            params[key] = convert(value, where, faults) if convert else value
        return params

    return convert_map


def _note(check: Check | None, value: Any, path: str, faults: Faults, what: str = "") -> None:
    fault = check(value) if check is not None else None
    if fault is not None:
        faults[path] = what + fault


def _timestamp(value: Timestamp, path: str, faults: Faults) -> Any:
    try:
        return timestamps.to_datetime(value.seconds, value.nanos)
    except ValueError as error:
        faults[path] = str(error)
        return None


def _document(value: Value, path: str, faults: Faults) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {
            key: _document(each, f"{path}.{key}", faults)
            for key, each in value.struct_value.fields.items()
        }
    if kind == "list_value":
        values = value.list_value.values
        return [_document(each, f"{path}[{i}]", faults) for i, each in enumerate(values)]
    if kind == "number_value":
        return _number(value.number_value, path, faults)
    return getattr(value, kind) if kind in ("bool_value", "string_value") else None


def _number(number: float, path: str, faults: Faults) -> float:
    if not math.isfinite(number):
        faults[path] = NOT_FINITE
    # What a caller wrote as 3 comes as 3.0, and AWS tells integers from decimals. Past 2^53 a
    # double is no longer what somebody counted, and -0.0 has no integer.
    is_count = number.is_integer() and abs(number) <= EXACT_INTEGER and str(number) != "-0.0"
    return int(number) if is_count else number


def _enum_container(shape: model.Shape, enum: EnumDescriptor) -> ConvertEnums:
    if isinstance(shape, model.ListShape):
        return _enum_list(_words(shape.member, enum))
    if isinstance(shape, model.MapShape):
        return _enum_map(_words(shape.value, enum), compile_check(shape.key))
    return _enum(_words(shape, enum))


def _wrapped_enums(convert: ConvertEnums, check: Check | None) -> Convert:
    """A wrapper message of enum words is a structure whose only member is the list or map."""
    name = naming.WRAPPED_VALUES
    wrapper = Structure(enums={name: (name, convert)}, checks={name: check} if check else {})

    def unwrap(message: Message, path: str, faults: Faults) -> Any:
        params = wrapper.convert(message, path, faults)
        if name not in params and not any(where.startswith(path) for where in faults):
            params[name] = convert({}, name, {})
            _note(check, params[name], f"{path}.{name}", faults)
        return params.get(name)

    return unwrap


def _words(shape: model.Shape, enum: EnumDescriptor) -> dict[int, str]:
    """The contract's numbers to AWS's words, for the words that both know."""
    names = {word: naming.enum_value_name(enum.name, word) for word in model.enum_values(shape)}
    return {
        enum.values_by_name[name].number: word
        for word, name in names.items()
        if name in enum.values_by_name
    }


def _enum(words: Mapping[int, str]) -> ConvertEnums:
    def convert(number: int, path: str, unrecognized: Unrecognized) -> str:
        word = words.get(number)
        if word is not None:
            return word
        if number or path not in unrecognized:
            raise EnumError(path, _no_word(number, path))
        return _word(unrecognized, path)

    return convert


def _word(unrecognized: Unrecognized, path: str) -> str:
    """AWS's word at a path, as the caller gave it."""
    word = unrecognized.pop(path)
    if not word:
        raise EnumError(path, f"has an empty word in {naming.UNRECOGNIZED_VALUES}")
    return word


def _no_word(number: int, path: str) -> str:
    if number:
        return f"has the number {number}, which this contract has no word for"
    return f"is unspecified: set it, or put AWS's word in {naming.UNRECOGNIZED_VALUES} at {path}"


def _enum_list(words: Mapping[int, str]) -> ConvertEnums:
    single = _enum(words)
    return lambda numbers, path, unrecognized: [
        single(number, f"{path}[{index}]", unrecognized) for index, number in enumerate(numbers)
    ]


def _enum_map(words: Mapping[int, str], check_key: Check | None) -> ConvertEnums:
    single = _enum(words)

    def convert(numbers: Mapping[str, int], path: str, unrecognized: Unrecognized) -> Params:
        params: Params = {}
        for key, number in numbers.items():
            where = f"{path}[{json.dumps(key)}]"
            fault = check_key(key) if check_key is not None else None
            if fault is not None:
                raise EnumError(where, f"its key {fault}")
            params[key] = single(number, where, unrecognized)
        return params

    return convert
