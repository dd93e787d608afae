"""JSON Schemas of messages in proto3's JSON format, from their descriptors.

https://protobuf.dev/programming-guides/json/ and JSON Schema 2020-12, which OpenAPI 3.1 has. This
module has what is true of every message. A response may have more than that: a newer server adds
fields and enum values, and AWS sends values that its own model does not allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from taskgate_server.http.proto_comments import ProtoComments
from taskgate_server.rpc.fields import element

Schema: TypeAlias = dict[str, Any]

COMPONENTS: Final = "#/components/schemas/"


def reference(name: str) -> Schema:
    """Return the schema that refers to a schema of the document."""
    return {"$ref": f"{COMPONENTS}{name}"}


# --- Scalars --------------------------------------------------------------------------------------

INT64: Final[Schema] = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
"""As text: JavaScript's numbers are exact up to 2^53 only."""

DOUBLE: Final[Schema] = {
    "anyOf": [
        {"type": "number", "format": "double"},
        {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]},
    ]
}
INT32: Final[Schema] = {
    "type": "integer",
    "format": "int32",
    "minimum": -(2**31),
    "maximum": 2**31 - 1,
}
_UINT32: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_UINT64: Final[Schema] = {"type": "string", "pattern": "^[0-9]{1,20}$"}

SCALARS: Final[Mapping[int, Schema]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    **dict.fromkeys((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT), DOUBLE),
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_INT32,
            FieldDescriptor.TYPE_SINT32,
            FieldDescriptor.TYPE_SFIXED32,
        ),
        INT32,
    ),
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_INT64,
            FieldDescriptor.TYPE_SINT64,
            FieldDescriptor.TYPE_SFIXED64,
        ),
        INT64,
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), _UINT32),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), _UINT64),
}

_INTEGER_KEY: Final[Schema] = {"pattern": "^-?[0-9]{1,20}$"}
_KEYS: Final[Mapping[int, Schema]] = {
    FieldDescriptor.CPPTYPE_BOOL: {"enum": ["true", "false"]},
    FieldDescriptor.CPPTYPE_INT32: _INTEGER_KEY,
    FieldDescriptor.CPPTYPE_INT64: _INTEGER_KEY,
    FieldDescriptor.CPPTYPE_UINT32: _INTEGER_KEY,
    FieldDescriptor.CPPTYPE_UINT64: _INTEGER_KEY,
}
"""Keys of maps are strings in JSON; those of other types have a form."""


# --- Messages with a JSON form of their own -------------------------------------------------------

WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Any": {
        "type": "object",
        "description": "A message of any type. A message with a JSON form of its own is in `value`;"
        " the fields of others are beside `@type`.",
        "properties": {
            "@type": {
                "type": "string",
                "description": "The full name of the message after the last slash.",
                "examples": ["type.googleapis.com/google.rpc.ErrorInfo"],
            }
        },
    },
    "google.protobuf.Duration": {
        "type": "string",
        "description": "A time span in seconds, with at most nine decimal places.",
        "pattern": r"^-?[0-9]{1,12}(?:\.[0-9]{1,9})?s$",
        "examples": ["1.5s"],
    },
    "google.protobuf.FieldMask": {
        "type": "string",
        "description": "Names of fields, separated by commas.",
        "examples": ["name,createTime"],
    },
    "google.protobuf.ListValue": {
        "type": "array",
        "items": reference("google.protobuf.Value"),
    },
    "google.protobuf.Struct": {
        "type": "object",
        "additionalProperties": reference("google.protobuf.Value"),
    },
    "google.protobuf.Timestamp": {
        "type": "string",
        "format": "date-time",
        "description": "A time in RFC 3339. Taskgate writes UTC as `Z`, with zero, three, six or"
        " nine decimal places.",
        "examples": ["2026-11-01T09:30:15.250Z"],
    },
    "google.protobuf.Value": {
        "description": "Any JSON value. Numbers are doubles: integers are exact up to 2^53.",
    },
    "google.protobuf.BoolValue": SCALARS[FieldDescriptor.TYPE_BOOL],
    "google.protobuf.BytesValue": SCALARS[FieldDescriptor.TYPE_BYTES],
    "google.protobuf.DoubleValue": DOUBLE,
    "google.protobuf.FloatValue": DOUBLE,
    "google.protobuf.Int32Value": INT32,
    "google.protobuf.Int64Value": INT64,
    "google.protobuf.StringValue": SCALARS[FieldDescriptor.TYPE_STRING],
    "google.protobuf.UInt32Value": _UINT32,
    "google.protobuf.UInt64Value": _UINT64,
}

_WITHIN_WELL_KNOWN: Final[Mapping[str, str]] = {
    "google.protobuf.ListValue": "google.protobuf.Value",
    "google.protobuf.Struct": "google.protobuf.Value",
}
"""The other message that the schema of one refers to."""

_NULL: Final = "google.protobuf.NullValue"


class MessageSchemas:
    """Makes the schemas of response messages and of all that they contain.

    Args:
        components: gets the schemas of messages and enums, which refer to each other, by name.
        comments: become descriptions.
        name_of: returns the name of a message's schema.
    """

    def __init__(
        self,
        components: dict[str, Schema],
        comments: ProtoComments,
        name_of: Callable[[Descriptor], str],
    ) -> None:
        self._components = components
        self._comments = comments
        self._name_of = name_of

    def message(self, message: Descriptor) -> Schema:
        """Return a reference to the schema of a message; make the schema if there is none."""
        if message.full_name in WELL_KNOWN:
            return self._well_known(message.full_name)
        return self._component(self._name_of(message), lambda: self._object(message))

    def _well_known(self, name: str) -> Schema:
        self._components.setdefault(name, WELL_KNOWN[name])
        if name in _WITHIN_WELL_KNOWN:
            self._well_known(_WITHIN_WELL_KNOWN[name])
        return reference(name)

    def _component(self, name: str, make: Callable[[], Schema]) -> Schema:
        if name not in self._components:
            self._components[name] = {}  # first: messages may be recursive
            self._components[name] |= make()
        return reference(name)

    def _object(self, message: Descriptor) -> Schema:
        properties = {field.json_name: self._field(field) for field in message.fields}
        schema = {"type": "object"} | self._described(message)
        return schema | ({"properties": properties} if properties else {}) | at_most_one(message)

    def _described(self, symbol: Any) -> Schema:
        """Return the description of a message, an enum or a field."""
        comment = self._comments.find(symbol.file.name, symbol.full_name)
        return {"description": comment} if comment else {}

    def _field(self, field: FieldDescriptor) -> Schema:
        return self._container(field) | self._described(field)

    def _container(self, field: FieldDescriptor) -> Schema:
        value = self._value(element(field))
        if not field.is_repeated:
            return value
        if element(field) is field:
            return {"type": "array", "items": value}
        return map_schema(field, value)

    def _value(self, field: FieldDescriptor) -> Schema:
        """Return the schema of one value of a field."""
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self.enum(field.enum_type)
        return dict(SCALARS[field.type])

    def enum(self, enum: EnumDescriptor) -> Schema:
        """Return a reference to the schema of an enum; make the schema if there is none."""
        if enum.full_name == _NULL:
            return {"type": "null"}
        return self._component(enum.full_name, lambda: self._enum(enum))

    def _enum(self, enum: EnumDescriptor) -> Schema:
        words = {"type": "string", "enum": [value.name for value in enum.values]}
        numbers = {"type": "integer", "format": "int32"}
        numbers["description"] = "The number of a value that this document does not have."
        schema: Schema = {"anyOf": [words, numbers]}
        description = [comment] if (comment := self._described(enum).get("description")) else []
        values = [
            f"* `{value.name}`: {' '.join(comment.split())}"
            for value in enum.values
            if (comment := self._comments.find(enum.file.name, f"{enum.full_name}.{value.name}"))
        ]
        if values:
            description.append("\n".join(values))
        return schema | ({"description": "\n\n".join(description)} if description else {})


def map_schema(field: FieldDescriptor, value: Schema) -> Schema:
    """Return the schema of a map field with this schema of its values."""
    entry: Any = field.message_type  # `element` has found it
    keys = _KEYS.get(entry.fields_by_name["key"].cpp_type)
    schema: Schema = {"type": "object", "additionalProperties": value}
    return schema | ({"propertyNames": keys} if keys else {})


def at_most_one(message: Descriptor) -> Schema:
    """Return the constraint of a message's oneofs: of each, at most one member is set."""
    schemas = []
    for oneof in message.oneofs:
        names = [field.json_name for field in oneof.fields]
        if len(names) < 2:  # noqa: PLR2004  # a field with presence, or no choice
            continue
        if len(names) == len(message.fields):
            return {"maxProperties": 1}
        choices: list[Schema] = [{"required": [name]} for name in names]
        schemas.append({"oneOf": [*choices, {"not": {"anyOf": choices}}]})
    if len(schemas) < 2:  # noqa: PLR2004  # none or the only one
        return schemas[0] if schemas else {}
    return {"allOf": schemas}
