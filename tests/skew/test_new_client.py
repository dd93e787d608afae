"""A client with today's stubs and a server with those of an old contract, message by message.

No old server is available, but its messages are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet

from taskgate_server.aws import model, naming
from tests.skew.old_contract import FILES, METHODS, message_of, method_id, present, present_type
from tests.skew.old_contract import service_name as service_of
from tests.support.contract import mirror
from tests.support.contract.comparison import canonical, known_differences
from tests.support.contract.exchange import request_message
from tests.support.contract.synthesis import FULL, Synthesizer

NEVER_A_WORD = 1_000_000


def passed_on(message: Any, through: Descriptor) -> tuple[Any, Any]:
    """Return the message as the other side parses it, and as it comes back."""
    other = message_of(through)
    other.ParseFromString(message.SerializeToString())
    back = message_of(message.DESCRIPTOR)
    back.ParseFromString(other.SerializeToString())
    return other, back


def operation_of(method: MethodDescriptor) -> model.OperationModel:
    return model.load_service(service_of(method)).operation_model(method.name)


@pytest.mark.parametrize("old", METHODS, ids=method_id)
def test_an_old_server_loses_nothing_of_a_request(old: MethodDescriptor) -> None:
    operation = operation_of(old)
    request = request_message(operation, Synthesizer(wire=False).params(operation, FULL))

    other, back = passed_on(request, old.input_type)

    assert known_differences(other, request) == []
    assert canonical(back) == canonical(request)


@pytest.mark.parametrize("old", METHODS, ids=method_id)
def test_new_client_reads_an_old_response(old: MethodDescriptor) -> None:
    current_response = message_of(present(old).output_type)
    shape = operation_of(old).output_shape
    if shape is not None:
        mirror.write(current_response, shape, Synthesizer(wire=False).value(shape, FULL))
    response = message_of(old.output_type)
    response.ParseFromString(current_response.SerializeToString())
    response.DiscardUnknownFields()  # of which a server of that time has none

    read, back = passed_on(response, present(old).output_type)

    assert known_differences(response, read) == []
    assert canonical(back) == canonical(response)


def pairs() -> Iterator[tuple[Descriptor, Descriptor]]:
    """Yield every message of both contracts: the old one and today's."""
    for file in FILES.values():
        for old in file.message_types_by_name.values():
            today = present_type(old)
            if today is not None:
                yield old, today


def enum_of(field: FieldDescriptor) -> EnumDescriptor | None:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        field = message.fields_by_name["value"]
    enum: EnumDescriptor | None = field.enum_type
    return enum


WITH_ENUMS = [
    pytest.param(old, today, id=old.name)
    for old, today in pairs()
    if any(enum_of(field) is not None for field in old.fields)
]
WITH_NEW_MEMBERS = [
    pytest.param(old, today, field.name, id=f"{old.name}-{field.name}")
    for old, today in pairs()
    if naming.UNION_ONEOF in old.oneofs_by_name
    for field in today.oneofs_by_name[naming.UNION_ONEOF].fields
    if field.name not in old.fields_by_name
]


@pytest.mark.parametrize(("old", "today"), WITH_ENUMS)
def test_unknown_enum_values_stay_numbers(old: Descriptor, today: Descriptor) -> None:
    message = message_of(today)
    expected: dict[str, Any] = {}
    for field in old.fields:
        enum = enum_of(field)
        if enum is None or field.name not in today.fields_by_name:
            continue
        todays = enum_of(today.fields_by_name[field.name])
        assert todays is not None
        unknown = set(todays.values_by_number) - set(enum.values_by_number)
        numbers = [*sorted(unknown), NEVER_A_WORD]
        if field.message_type is not None:
            expected[field.name] = {str(number): number for number in numbers}
            getattr(message, field.name).update(expected[field.name])
        elif field.is_repeated:
            expected[field.name] = numbers
            getattr(message, field.name).extend(numbers)
        else:
            expected[field.name] = numbers[0]
            setattr(message, field.name, numbers[0])

    other, back = passed_on(message, old)

    for name, value in expected.items():
        found = getattr(other, name)
        assert (found if isinstance(value, int) else type(value)(found)) == value
    assert canonical(back) == canonical(message)


@pytest.mark.parametrize(("old", "today", "member"), WITH_NEW_MEMBERS)
def test_unknown_union_member_is_preserved(old: Descriptor, today: Descriptor, member: str) -> None:
    message = message_of(today)
    if today.fields_by_name[member].message_type is not None:
        getattr(message, member).SetInParent()
    else:
        setattr(message, member, today.fields_by_name[member].default_value)

    other, back = passed_on(message, old)

    assert other.WhichOneof(naming.UNION_ONEOF) is None
    assert len(UnknownFieldSet(other)) == 1
    assert back.WhichOneof(naming.UNION_ONEOF) == member
    assert canonical(back) == canonical(message)


def test_contracts_differ_in_the_tested_aspects() -> None:
    assert WITH_NEW_MEMBERS
    assert any(
        set(today.fields_by_name) - set(old.fields_by_name)
        for old, today in pairs()
        if naming.UNION_ONEOF not in old.oneofs_by_name
    )
    enums = [
        (enum_of(old.fields_by_name[name]), enum_of(today.fields_by_name[name]))
        for old, today in pairs()
        for name in set(old.fields_by_name) & set(today.fields_by_name)
    ]
    assert any(old and today and len(today.values) > len(old.values) for old, today in enums)
