"""Compares messages of two contracts in the fields that the older one has."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


def canonical(message: Message) -> bytes:
    """Return bytes that are equal for equal messages, NaN included."""
    return message.SerializeToString(deterministic=True)


def known_differences(old: Message, new: Message, path: str = "") -> list[str]:
    """Return the differences in the old fields; a field that was removed must be unset."""
    olds = {field.name: (field, value) for field, value in old.ListFields()}
    news = {field.name: value for field, value in new.ListFields()}
    faults = []
    for field in old.DESCRIPTOR.fields:
        where = f"{path}.{field.name}"
        if (field.name in olds) != (field.name in news):
            faults.append(f"{where}: set in one only")
        elif field.name in olds:
            faults += _differences(*olds[field.name], news[field.name], where)
    return faults


def _differences(field: FieldDescriptor, old: Any, new: Any, where: str) -> list[str]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if set(old) != set(new):
            return [f"{where}: {set(old)} != {set(new)}"]
        pairs = [(f"{where}[{key}]", old[key], new[key]) for key in old]
    elif field.is_repeated:
        if len(old) != len(new):
            return [f"{where}: {len(old)} != {len(new)} elements"]
        pairs = [(f"{where}[{i}]", old[i], new[i]) for i in range(len(old))]
    else:
        pairs = [(where, old, new)]
    return [fault for pair in pairs for fault in _single_differences(*pair)]


def _single_differences(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, Message):
        return known_differences(old, new, where)
    both_nan = old != old and new != new  # noqa: PLR0124  # only NaN differs from itself
    return [] if old == new or both_nan else [f"{where}: {old!r} != {new!r}"]
