"""What a protobuf field holds, whether singly, repeated or as the values of a map."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor


def element(field: FieldDescriptor) -> FieldDescriptor:
    """The field that tells the type of one value: itself, or a map's `value`."""
    message: Descriptor | None = field.message_type
    if message is None or not message.GetOptions().map_entry:
        return field
    return message.fields_by_name["value"]


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message that the field holds.

    Raises:
        TypeError: it holds none: model and contract are not of one version.
    """
    message: Descriptor | None = field.message_type
    if message is None:
        raise TypeError(f"{field.full_name} holds no message")
    return message


def enum_of(field: FieldDescriptor) -> EnumDescriptor | None:
    """The enum that the field holds, if it holds one."""
    enum: EnumDescriptor | None = element(field).enum_type
    return enum
