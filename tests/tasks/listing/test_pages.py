"""Page tokens: they come back as they were, for the same request only."""

from __future__ import annotations

import base64

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.aws.paging import PagedOperation
from taskgate_server.errors import TaskgateError
from taskgate_server.services.deadline.listing import SEARCH_TASKS
from taskgate_server.tasks.listing.pages import START, Cursor, decode, encode

CURSORS = st.builds(
    Cursor,
    token=st.text(),
    skip=st.integers(0, 100_000),
    child=st.text(),
    children_token=st.text(),
)
REQUESTS = st.lists(st.text(), min_size=3, max_size=3)


def refusal(token: str, request: list[str]) -> str:
    with pytest.raises(TaskgateError) as raised:
        decode(token, request)
    assert raised.value.code is StatusCode.INVALID_ARGUMENT
    assert raised.value.message.startswith("page_token: ")
    return raised.value.message


@given(CURSORS, REQUESTS)
def test_token_round_trip(cursor: Cursor, request: list[str]) -> None:
    token = encode(cursor, request)
    assert decode(token, request) == cursor
    assert token.isascii()
    assert not set(token) & set("+/= ")


@given(CURSORS, REQUESTS, REQUESTS)
def test_token_of_a_different_request_is_refused(
    cursor: Cursor, one: list[str], other: list[str]
) -> None:
    token = encode(cursor, one)
    if one == other:
        assert decode(token, other) == cursor
    else:
        assert "different request" in refusal(token, other)


@given(st.text(min_size=1))
def test_other_text_is_refused(text: str) -> None:
    assert "not a next_page_token" in refusal(text, ["p", "", "BASIC"])


@given(st.binary(min_size=1))
def test_other_bytes_are_refused(data: bytes) -> None:
    refusal(base64.urlsafe_b64encode(data).decode(), ["p", "", "BASIC"])


@given(CURSORS, REQUESTS, st.data())
def test_token_with_a_changed_byte_is_refused(
    cursor: Cursor, request: list[str], data: st.DataObject
) -> None:
    token = encode(cursor, request)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    refusal(base64.urlsafe_b64encode(raw).decode(), request)


def test_empty_token_is_the_first_page() -> None:
    assert decode("", ["p"]) == START


def test_too_long_token_is_refused() -> None:
    refusal(encode(Cursor(token="x" * 20_000), ["p"]), ["p"])


@pytest.mark.parametrize("offset", ["-1", "10001", "1e3", "٣", "x", "9" * 30])
def test_invalid_offset_of_aws_is_refused(offset: str) -> None:
    with pytest.raises(TaskgateError) as raised:
        SEARCH_TASKS.params(offset, 100)
    assert raised.value.message.startswith("page_token: ")


def test_invalid_token_of_aws_is_refused() -> None:
    omics = PagedOperation("omics", "ListRunTasks")
    assert omics.params("next", 1000) == {"startingToken": "next", "maxResults": 100}
    with pytest.raises(TaskgateError) as raised:
        omics.params("x" * 129, 100)
    assert raised.value.message.startswith("page_token: ")


def test_the_first_page_needs_no_token() -> None:
    assert PagedOperation("deadline", "ListTasks").params("", 0) == {"maxResults": 1}
    assert SEARCH_TASKS.params("", 7) == {"itemOffset": 0, "pageSize": 7}
