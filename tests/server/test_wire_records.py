"""The records of a protobuf message are counted before it is parsed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate.omics.v1 import omics_pb2
from taskgate_server.wire_records import exceeds

DESCRIPTOR: Any = omics_pb2.TagResourceRequest.DESCRIPTOR


@pytest.mark.parametrize("entries", [10, 5000])
def test_fields_and_entries_are_counted_at_any_depth(entries: int) -> None:
    tags = {f"key-{number}": "value" for number in range(entries)}
    message = omics_pb2.TagResourceRequest(resource_arn="arn", tags=tags)
    data = message.SerializeToString()
    count = 1 + 3 * entries  # an entry has a key and a value

    assert not exceeds(DESCRIPTOR, data, count)
    assert exceeds(DESCRIPTOR, data, count - 1)


def test_contents_of_texts_and_of_unknown_fields_are_not_counted() -> None:
    message = omics_pb2.TagResourceRequest(resource_arn="\n\n" * 100_000)
    unknown = b"\x82\x7d" + b"\xc8\x01" + b"\n\0" * 100

    assert not exceeds(DESCRIPTOR, message.SerializeToString() + unknown, 2)


def test_recursive_messages_are_counted() -> None:
    message = omics_pb2.StartRunRequest()
    for number in range(1000):
        message.parameters.list_value.values.add().number_value = number
    descriptor: Any = message.DESCRIPTOR

    assert not exceeds(descriptor, message.SerializeToString(), 2002)
    assert exceeds(descriptor, message.SerializeToString(), 2001)


@given(st.binary(max_size=300))
def test_malformed_data_raises_no_error(data: bytes) -> None:
    assert isinstance(exceeds(DESCRIPTOR, data, 10), bool)


@pytest.mark.parametrize("data", [b"\x80" * 100, b"\x12\xff", b"\x07" * 100, b"\x12\x80\x80"])
def test_truncated_data_does_not_exceed(data: bytes) -> None:
    assert not exceeds(DESCRIPTOR, data, 1)
