"""Conversion of request messages to boto3's parameters, validating them in the same walk.

Violations have the caller's own field paths, such as `identifiers[3].task_id`. Fields that are not
set are not sent. `aws.constraints` has the model's constraints of single values, `validation` the
limits of the walk. A container is measured before it is iterated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from taskgate_server import errors
from taskgate_server.aws import model, naming, timestamps
from taskgate_server.aws.constraints import (
    MISSING,
    NOT_FINITE,
    Check,
    compile_check,
    compile_match,
)
from taskgate_server.rpc.enum_params import (
    ConvertEnums,
    Unrecognized,
    enum_container,
    unrecognized_word,
)
from taskgate_server.rpc.fields import element, enum_of, message_of
from taskgate_server.rpc.retired import retired_fields
from taskgate_server.rpc.validation import (
    DEFAULT_LIMITS,
    KEY,
    ROOT,
    Limits,
    Path,
    Validation,
    ValidationStoppedError,
)

Params: TypeAlias = dict[str, Any]
Match: TypeAlias = Callable[[Any], object]
"""Returns a true value for a text that is valid and sent unchanged."""
Convert: TypeAlias = Callable[[Any, Path, Validation], Any]
"""Converts the value at a path and records its violations."""

EXACT_INTEGER: Final = 2**53

MAX_UNKNOWN_BYTES: Final = 4096
"""Unknown fields of at most this size are reported one by one: `UnknownFieldSet` takes 1 us per
field, and a message of 4 MiB may have two million."""

NOT_KNOWN: Final = "that this server does not know: it needs a newer Taskgate"
NOT_KNOWN_OR_RETIRED: Final = (
    "that this server does not know: they need a newer Taskgate, or were removed from AWS's API"
)


def validate(structure: Structure, request: Message, limits: Limits = DEFAULT_LIMITS) -> Params:
    """Return the parameters of a request for boto3; discard its unknown fields.

    Raises:
        errors.TaskgateError: INVALID_ARGUMENT with all violations, up to the limits.
    """
    validation = Validation(limits)
    try:
        params = structure.convert(request, ROOT, validation)
        _check_unknown_fields(structure, request, validation)
    except ValidationStoppedError:
        raise errors.invalid_request(validation.faults, is_complete=False) from None
    if validation.faults:
        raise errors.invalid_request(validation.faults)
    return params


def _check_unknown_fields(structure: Structure, request: Message, validation: Validation) -> None:
    """Record fields of other contracts: without them AWS would receive a different request.

    Python's protobuf reports unknown fields only as one object each. Discarding them is fast, so
    the sizes before and after are compared first.
    """
    data = request.SerializeToString()
    request.DiscardUnknownFields()
    size = len(data) - request.ByteSize()
    if not size:
        return
    faults_before = len(validation.faults)
    if size <= MAX_UNKNOWN_BYTES:
        again = Validation(validation.limits, validation.faults, reports_unknown_fields=True)
        structure.convert(type(request).FromString(data), ROOT, again)
    if len(validation.faults) == faults_before:  # too many, or outside of structures
        validation.add(ROOT, f"has {size} bytes of fields {NOT_KNOWN_OR_RETIRED}")


def _add_unknown(message: Message, path: Path, validation: Validation) -> None:
    retired = retired_fields(message.DESCRIPTOR)
    unknown_fields: Any = UnknownFieldSet(message)  # its types lack the iterator
    for unknown in unknown_fields:
        number = unknown.field_number
        name, fate = retired.get(number, (f"#{number}", f"is a field {NOT_KNOWN}"))
        validation.add((path, name), fate)


@dataclass(slots=True)
class Structure:
    """The compiled form of one message; filled after creation, since messages may be recursive."""

    plain: dict[str, tuple[str, Match | None, Convert | None]] = field(default_factory=dict)
    """Field -> AWS member, which texts need no conversion, and the conversion of other values."""
    enums: dict[str, tuple[str, ConvertEnums]] = field(default_factory=dict)
    """The same for enum fields."""
    required: dict[str, str] = field(default_factory=dict)
    """AWS member -> field, for required members."""
    empty: dict[str, tuple[str, type]] = field(default_factory=dict)
    """Field -> AWS member and the type of its empty value, for lists and maps."""
    checks: dict[str, Check] = field(default_factory=dict)
    """AWS member -> the constraint of its size, for lists and maps."""
    is_union: bool = False

    def convert(self, message: Message, path: Path, validation: Validation) -> Params:
        """Return the parameters of a message."""
        fields = message.ListFields()
        validation.count(1 + len(fields))
        validation.descend(path)
        params: Params = {}
        numbers: dict[str, Any] = {}
        for descriptor, value in fields:
            name = descriptor.name
            plan = self.plain.get(name)
            if plan is not None:
                member, matches, convert = plan
                if convert is None or (matches is not None and matches(value)):
                    params[member] = value
                else:
                    params[member] = convert(value, (path, name), validation)
            elif name in self.enums:
                numbers[name] = value
        self._add_own_fields(message, numbers, params, path, validation)
        self._require(params, path, validation)
        validation.ascend()
        return params

    def _add_own_fields(
        self,
        message: Any,
        numbers: dict[str, Any],
        params: Params,
        path: Path,
        validation: Validation,
    ) -> None:
        """Add the content of Taskgate's own fields, and record what cannot be sent."""
        if self.enums:
            self._convert_enums(message, numbers, params, path, validation)
        if self.empty:
            self._add_empty(message, params, path, validation)
        if self.is_union:
            self._check_union(message, params, path, validation)
        if validation.reports_unknown_fields:
            _add_unknown(message, path, validation)

    def _check_union(
        self, message: Any, params: Params, path: Path, validation: Validation
    ) -> None:
        if message.HasField(naming.UNKNOWN_MEMBER):
            where = (path, naming.UNKNOWN_MEMBER)
            validation.add(where, "names a union member that cannot be sent")
        elif not params:
            validation.add(path, "needs one member set")

    def _convert_enums(
        self,
        message: Any,
        numbers: dict[str, Any],
        params: Params,
        path: Path,
        validation: Validation,
    ) -> None:
        words = message.unrecognized_values
        validation.count(len(words))
        unrecognized: Unrecognized = dict(words)
        for name, (member, convert) in self.enums.items():
            where = path, name
            if name in numbers:
                params[member] = convert(numbers[name], name, where, unrecognized, validation)
            elif name in unrecognized and name not in self.empty:
                params[member] = unrecognized_word(unrecognized, name, where, validation)
        for stray in unrecognized:
            validation.add(
                ((path, naming.UNRECOGNIZED_VALUES), KEY, stray),
                "must be the path of an enum value that is left unspecified",
            )

    def _add_empty(self, message: Any, params: Params, path: Path, validation: Validation) -> None:
        names = message.empty_members
        validation.count(len(names))
        for index, name in enumerate(names):
            if name in self.empty and self.empty[name][0] not in params:
                self._set_empty(name, params, path, validation)
            else:
                validation.add(
                    ((path, naming.EMPTY_MEMBERS), index),
                    "must name a list or map field of this message that has no value",
                )

    def _set_empty(self, name: str, params: Params, path: Path, validation: Validation) -> None:
        member, make = self.empty[name]
        params[member] = make()
        validation.check(self.checks.get(member), params[member], (path, name))

    def _require(self, params: Params, path: Path, validation: Validation) -> None:
        if self.required.keys() <= params.keys():
            return
        for member, name in self.required.items():
            if member in params:
                continue
            if name in self.empty:
                # To most callers an absent list is empty, so a required one is sent as empty.
                self._set_empty(name, params, path, validation)
            else:
                validation.add((path, name), MISSING)


class RequestCompiler:
    """Compiles each structure once, by shape and message: equal shapes may share a message."""

    def __init__(self) -> None:
        self._structures: dict[tuple[str, str], Structure] = {}

    def structure(
        self,
        shape: model.StructureShape,
        descriptor: Descriptor,
        greedy: frozenset[str] = frozenset(),
    ) -> Structure:
        """Return the compiled form of a message.

        Args:
            shape: the structure.
            descriptor: its message.
            greedy: the members that fill several segments of the URL's path.
        """
        known = self._structures.get((shape.name, descriptor.full_name))
        if known is not None:
            return known
        made = Structure(is_union=model.is_union(shape))
        self._structures[shape.name, descriptor.full_name] = made
        fields = {field.json_name: field for field in descriptor.fields}
        for member, target in shape.members.items():
            field = fields.get(member)
            if field is None or target.serialization.get("streaming"):
                continue
            words = enum_of(field)
            if member in greedy:
                check = compile_check(target, is_greedy=True)
                made.plain[field.name] = (member, None, _checked(check))
            elif words is None:
                matches = compile_match(target) if target.type_name == "string" else None
                made.plain[field.name] = (member, matches, self._value(target, field))
            else:
                made.enums[field.name] = (member, enum_container(target, words))
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
        """Return the conversion of the values of a field; None to send them unchanged."""
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
            return lambda message, path, validation: convert(
                message.values, (path, name), validation
            )
        return _wrapped_enums(enum_container(shape, words), shape)


def _checked(check: Check | None) -> Convert | None:
    if check is None:
        return None

    def convert(value: Any, path: Path, validation: Validation) -> Any:
        fault = check(value)
        if fault is not None:
            validation.add(path, fault)
        return value

    return convert


def _list(convert: Convert | None, check: Check | None) -> Convert:
    def convert_list(values: Any, path: Path, validation: Validation) -> list[Any]:
        validation.measure(check, values, path)
        if convert is None:
            return list(values)
        return [convert(item, (path, index), validation) for index, item in enumerate(values)]

    return convert_list


def _map(convert: Convert | None, check_key: Check | None, check: Check | None) -> Convert:
    def convert_map(values: Mapping[str, Any], path: Path, validation: Validation) -> Params:
        validation.measure(check, values, path)
        params: Params = {}
        for key, value in values.items():
            where = path, KEY, key
            validation.check(check_key, key, where, what="its key ")
            params[key] = convert(value, where, validation) if convert else value
        return params

    return convert_map


def _timestamp(value: Timestamp, path: Path, validation: Validation) -> Any:
    try:
        return timestamps.to_datetime(value.seconds, value.nanos)
    except ValueError as error:
        validation.add(path, str(error))
        return None


def _document(value: Value, path: Path, validation: Validation) -> Any:
    kind = value.WhichOneof("kind")
    if kind in ("struct_value", "list_value"):
        validation.descend(path)
        converted = _document_container(value, kind, path, validation)
        validation.ascend()
        return converted
    if kind == "number_value":
        return _number(value.number_value, path, validation)
    return getattr(value, kind) if kind in ("bool_value", "string_value") else None


def _document_container(value: Value, kind: str, path: Path, validation: Validation) -> Any:
    if kind == "struct_value":
        fields = value.struct_value.fields
        validation.count(len(fields))
        return {key: _document(each, (path, key), validation) for key, each in fields.items()}
    values = value.list_value.values
    validation.count(len(values))
    return [_document(each, (path, index), validation) for index, each in enumerate(values)]


def _number(number: float, path: Path, validation: Validation) -> float:
    if not math.isfinite(number):
        validation.add(path, NOT_FINITE)
    # A 3 in JSON arrives as 3.0, and AWS distinguishes integers from decimals. Past 2^53 a
    # double is no longer an exact count, and -0.0 has no integer.
    is_count = number.is_integer() and abs(number) <= EXACT_INTEGER and str(number) != "-0.0"
    return int(number) if is_count else number


def _wrapped_enums(convert: ConvertEnums, shape: model.Shape) -> Convert:
    """Return the conversion of a wrapper message of enum values, in a list or map."""
    name = naming.WRAPPED_VALUES
    check = compile_check(shape)
    wrapper = Structure(enums={name: (name, convert)})
    make = list if isinstance(shape, model.ListShape) else dict

    def unwrap(message: Message, path: Path, validation: Validation) -> Any:
        params = wrapper.convert(message, path, validation)
        if name not in params:
            params[name] = make()
            validation.check(check, params[name], (path, name))
        return params[name]

    return unwrap
