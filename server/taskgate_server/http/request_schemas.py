"""JSON Schemas of request messages: those of `json_schemas`, with the constraints of requests.

The constraints are those of AWS's model, which `aws.constraints` checks, or google.api's
`field_behavior` in a message that is written by hand. A schema allows every request that is valid,
and some that are not: it has no constraint that JSON Schema cannot express in all languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from taskgate_server.aws import constraints, model, naming
from taskgate_server.http import portable_patterns
from taskgate_server.http.json_schemas import (
    INT32,
    SCALARS,
    WELL_KNOWN,
    MessageSchemas,
    Schema,
    at_most_one,
    map_schema,
)
from taskgate_server.http.proto_comments import ProtoComments
from taskgate_server.rpc.fields import element, enum_of

EXACT_INTEGER: Final = 2**53
"""Larger bounds are left out: a reader in JavaScript would round them."""

_INT64: Final[Schema] = {
    "type": ["string", "integer"],
    "format": "int64",
    "pattern": "^-?[0-9]{1,19}$",
}
_UNRECOGNIZED: Final = re.sub("_(.)", lambda each: each[1].upper(), naming.UNRECOGNIZED_VALUES)
"""The name in JSON of the field with AWS's enum values that the contract lacks."""

_BASE64: Final = "^[A-Za-z0-9+/_-]*={0,2}$"
"""Both alphabets of RFC 4648, with or without padding."""


class RequestSchemas(MessageSchemas):
    """Makes the schemas of request messages and of all that they contain.

    Args:
        components: gets the schemas.
        comments: become descriptions.
        name_of: returns the name of a message's schema.
    """

    def __init__(
        self,
        components: dict[str, Schema],
        comments: ProtoComments,
        name_of: Callable[[Descriptor], str],
    ) -> None:
        super().__init__(components, comments, name_of)
        self._shapes: dict[str, str] = {}
        """The shape of each schema, by name."""

    def request(self, message: Descriptor, shape: model.Shape | None) -> Schema:
        """Return a reference to the schema of a message; make the schema if there is none.

        Args:
            message: the message.
            shape: what it is in AWS's model; None if it is not of AWS.
        """
        if message.full_name in WELL_KNOWN:
            return self._well_known(message.full_name)
        if shape is None:
            return self._component(self._name_of(message), lambda: self._own_object(message))
        name = self._name_of(message)
        # Two shapes may share a message; each has constraints of its own.
        if self._shapes.setdefault(name, shape.name) != shape.name:
            name = f"{name}-{shape.name}"
        return self._component(name, lambda: self._aws_object(message, shape))

    # --- Messages that are written by hand --------------------------------------------------------

    def _own_object(self, message: Descriptor) -> Schema:
        properties = {field.json_name: self._own_field(field) for field in message.fields}
        required = [field.json_name for field in message.fields if _is_required(field)]
        return self._closed(message, properties, required) | at_most_one(message)

    def _own_field(self, field: FieldDescriptor) -> Schema:
        schema = self._container(field) | self._described(field)
        if not _is_required(field):
            return schema
        if field.is_repeated:
            return schema | {"minItems": 1}
        is_text = field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
        return schema | ({"minLength": 1} if is_text else {})

    def message(self, message: Descriptor) -> Schema:
        """Return a reference to the schema of a message that is not of AWS."""
        return self.request(message, None)

    def _value(self, field: FieldDescriptor) -> Schema:
        value = super()._value(field)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return value | {"pattern": _BASE64}
        return value | (_INT64 if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else {})

    # --- Messages of AWS's model ------------------------------------------------------------------

    def _aws_object(self, message: Descriptor, shape: model.Shape) -> Schema:
        if not isinstance(shape, model.StructureShape):
            return self._wrapper(message, shape)
        fields = {field.json_name: field for field in message.fields}
        properties: dict[str, Schema] = {}
        required, alternatives = [], []
        for name, field in fields.items():
            target = shape.members.get(name)
            if field.name == naming.UNKNOWN_MEMBER:  # it can only be received
                continue
            if field.name == naming.EMPTY_MEMBERS:
                properties |= self._empty_members(field, shape)
                continue
            properties[name] = self._member(field, target)
            if target is None or not _is_required_member(shape, name, field):
                continue
            if enum_of(field) is None or field.is_repeated:
                required.append(name)
            else:
                alternatives.append(_or_unrecognized(field))
        schema = self._closed(message, properties, required)
        if alternatives:
            schema |= alternatives[0] if len(alternatives) == 1 else {"allOf": alternatives}
        # The other property of a union has the value of its enum, if the contract lacks that.
        return schema | ({"minProperties": 1, "maxProperties": 1} if model.is_union(shape) else {})

    def _empty_members(
        self, field: FieldDescriptor, shape: model.StructureShape
    ) -> dict[str, Schema]:
        """Return the property that lists the members that are sent as empty, if any may be."""
        message: Any = field.containing_type
        names = [
            each.name
            for each in message.fields
            if each.is_repeated
            and each.json_name in shape.members
            and not _least(shape.members[each.json_name])
        ]
        if not names:
            return {}
        schema = {"type": "array", "items": {"type": "string", "enum": names}}
        return {field.json_name: schema | self._described(field)}

    def _wrapper(self, message: Descriptor, shape: model.Shape) -> Schema:
        properties = {
            field.json_name: self._member(
                field, shape if field.name == naming.WRAPPED_VALUES else None
            )
            for field in message.fields
        }
        required = [naming.WRAPPED_VALUES] if _least(shape) else []
        return self._closed(message, properties, required)

    def _member(self, field: FieldDescriptor, shape: model.Shape | None) -> Schema:
        if shape is None:  # a field of Taskgate's own
            return self._container(field) | self._described(field)
        if shape.serialization.get("streaming"):
            return dict(SCALARS[field.type]) | self._described(field)
        return self._shaped(field, shape) | self._described(field)

    def _shaped(self, field: FieldDescriptor, shape: model.Shape) -> Schema:
        """Return the schema of a field that has a shape, or of a value in it."""
        if field.is_repeated and isinstance(shape, model.ListShape):
            low, high = constraints.bounds(shape)
            items = self._single(field, shape.member)
            return {"type": "array", "items": items} | _sizes("Items", low, high)
        if field.is_repeated and isinstance(shape, model.MapShape):
            low, high = constraints.bounds(shape)
            made = map_schema(field, self._single(element(field), shape.value))
            keys = _text(shape.key)
            return (
                made | ({"propertyNames": keys} if keys else {}) | _sizes("Properties", low, high)
            )
        return self._single(field, shape)

    def _single(self, field: FieldDescriptor, shape: model.Shape) -> Schema:
        if field.message_type is not None:
            return self.request(field.message_type, shape)
        if field.enum_type is not None:
            return self.enum(field.enum_type)
        return _aws_scalar(field, shape)

    def _closed(
        self, message: Descriptor, properties: Mapping[str, Schema], required: list[str]
    ) -> Schema:
        """Return the schema of an object without further properties, which are refused."""
        schema: Schema = {"type": "object"} | self._described(message)
        if properties:
            schema["properties"] = properties
        if required:
            schema["required"] = required
        return schema | {"additionalProperties": False}


def _is_required(field: FieldDescriptor) -> bool:
    behaviors: Any = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviors


def _is_required_member(shape: model.StructureShape, member: str, field: FieldDescriptor) -> bool:
    """Return whether a request without a member is refused; see `rpc.request_converter`."""
    target = shape.members[member]
    if not model.is_required(shape, member) or model.is_idempotency_token(target):
        return False
    # A required list or map that is absent is sent as empty.
    return _least(target) > 0 if field.is_repeated else not target.serialization.get("streaming")


def _least(shape: model.Shape) -> int:
    """Return the least number of elements of a list or map."""
    return int(constraints.bounds(shape)[0] or 0)


def _or_unrecognized(field: FieldDescriptor) -> Schema:
    """Return the constraint of a required enum: it is set, or has a word that is not in it."""
    words = {
        "required": [_UNRECOGNIZED],
        "properties": {_UNRECOGNIZED: {"required": [field.name]}},
    }
    return {"anyOf": [{"required": [field.json_name]}, words]}


# --- Scalars --------------------------------------------------------------------------------------


def _aws_scalar(field: FieldDescriptor, shape: model.Shape) -> Schema:
    match field.cpp_type, field.type:
        case _, FieldDescriptor.TYPE_BYTES:
            return dict(SCALARS[field.type]) | {"pattern": _BASE64} | _base64_lengths(shape)
        case FieldDescriptor.CPPTYPE_STRING, _:
            return {"type": "string"} | _text(shape)
        case FieldDescriptor.CPPTYPE_INT32, _:
            return dict(INT32) | _range(shape)
        case FieldDescriptor.CPPTYPE_INT64, _:
            return dict(_INT64) | _range(shape)
        case ((FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT), _):
            return {"type": "number", "format": "double"} | _range(shape)  # AWS's JSON has no NaN
    return dict(SCALARS[field.type])


def _text(shape: model.Shape) -> Schema:
    low, high = constraints.bounds(shape)
    if shape.serialization.get("location") == "uri":
        low = max(low or 0, 1)
    schema = _sizes("Length", low, high)
    pattern = shape.metadata.get("pattern")
    portable = portable_patterns.to_json_schema(pattern) if pattern is not None else None
    return schema | ({"pattern": portable} if portable is not None else {})


def _base64_lengths(shape: model.Shape) -> Schema:
    low, high = constraints.bounds(shape)
    least = None if low is None else -(-low * 4 // 3)  # without padding
    most = None if high is None else -(-high // 3) * 4
    return _sizes("Length", least, most)


def _range(shape: model.Shape) -> Schema:
    low, high = constraints.bounds(shape)
    bounds = {"minimum": low, "maximum": high}
    return {
        key: bound
        for key, bound in bounds.items()
        if bound is not None and abs(bound) <= EXACT_INTEGER
    }


def _sizes(what: str, low: int | None, high: int | None) -> Schema:
    """Return `minItems` and `maxItems`, for example, without those that allow everything."""
    least = {f"min{what}": low} if low else {}
    return least | ({f"max{what}": high} if high is not None else {})
