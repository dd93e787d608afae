"""The type of the values in a protobuf field: singular, repeated, or the values of a map."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor


def element(field: FieldDescriptor) -> FieldDescriptor:
    """Return the field with the type of one value: the field itself, or the `value` of a map."""
    message: Descriptor | None = field.message_type
    if message is None or not message.GetOptions().map_entry:
        return field
    return message.fields_by_name["value"]


def message_of(field: FieldDescriptor) -> Descriptor:
    """Return the message type of a field.

    Raises:
        TypeError: the field has no message type: model and contract have different versions.
    """
    message: Descriptor | None = field.message_type
    if message is None:
        raise TypeError(f"{field.full_name} has no message type")
    return message


def enum_of(field: FieldDescriptor) -> EnumDescriptor | None:
    """Return the enum type of the values in a field; None for another type."""
    enum: EnumDescriptor | None = element(field).enum_type
    return enum
