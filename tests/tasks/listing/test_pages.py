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
def test_a_token_comes_back(cursor: Cursor, request: list[str]) -> None:
    token = encode(cursor, request)
    assert decode(token, request) == cursor
    assert token.isascii()
    assert not set(token) & set("+/= ")


@given(CURSORS, REQUESTS, REQUESTS)
def test_a_token_of_another_request(cursor: Cursor, one: list[str], other: list[str]) -> None:
    token = encode(cursor, one)
    if one == other:
        assert decode(token, other) == cursor
    else:
        assert "different request" in refusal(token, other)


@given(st.text(min_size=1))
def test_text_is_no_token(text: str) -> None:
    assert "not a next_page_token" in refusal(text, ["p", "", "BASIC"])


@given(st.binary(min_size=1))
def test_bytes_are_no_token(data: bytes) -> None:
    refusal(base64.urlsafe_b64encode(data).decode(), ["p", "", "BASIC"])


@given(CURSORS, REQUESTS, st.data())
def test_a_token_with_a_changed_byte(
    cursor: Cursor, request: list[str], data: st.DataObject
) -> None:
    token = encode(cursor, request)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    refusal(base64.urlsafe_b64encode(raw).decode(), request)


def test_no_token_is_the_beginning() -> None:
    assert decode("", ["p"]) == START


def test_a_token_that_is_too_long() -> None:
    refusal(encode(Cursor(token="x" * 20_000), ["p"]), ["p"])


@pytest.mark.parametrize("offset", ["-1", "10001", "1e3", "٣", "x", "9" * 30])
def test_an_offset_that_aws_cannot_take(offset: str) -> None:
    with pytest.raises(TaskgateError) as raised:
        SEARCH_TASKS.params(offset, 100)
    assert raised.value.message.startswith("page_token: ")


def test_a_token_that_aws_cannot_take() -> None:
    omics = PagedOperation("omics", "ListRunTasks")
    assert omics.params("next", 1000) == {"startingToken": "next", "maxResults": 100}
    with pytest.raises(TaskgateError) as raised:
        omics.params("x" * 129, 100)
    assert raised.value.message.startswith("page_token: ")


def test_the_first_page_needs_no_token() -> None:
    assert PagedOperation("deadline", "ListTasks").params("", 0) == {"maxResults": 1}
    assert SEARCH_TASKS.params("", 7) == {"itemOffset": 0, "pageSize": 7}
