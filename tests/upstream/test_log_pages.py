"""Reading a stream of CloudWatch Logs page by page, with pages as odd as AWS may make them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgate_server.errors import TaskgateError
from taskgate_server.upstream.aws_client.responses import read_json
from taskgate_server.upstream.aws_client.sender import AwsResponse
from taskgate_server.upstream.logs import Cursor, Line, LogReader, Section, read_last
from taskgate_server.upstream.options import CallOptions

SECTION = Section(group="g", stream="s")


class Stream:
    """GetLogEvents as AWS documents it: pages of any size, also empty ones, before the end.

    Tokens are places between lines, with a number for how often a page there was empty, and one for
    how often all tokens have expired.

    Args:
        lines: what is in the stream.
        sizes: of the pages, in turn.
    """

    def __init__(self, lines: list[Line], sizes: list[int]) -> None:
        self.lines = lines
        self._sizes = sizes
        self.calls: list[Mapping[str, Any]] = []
        self.expired = 0

    async def call(self, operation: str, params: Mapping[str, Any], *_: object) -> AwsResponse:
        assert operation == "GetLogEvents"
        self.calls.append(params)
        size = self._sizes[len(self.calls) % len(self._sizes)]
        count = min(size, params.get("limit", 10_000))
        token = params.get("nextToken")
        assert token is None or params["startFromHead"] is (token[0] == "f")
        if token is not None and not token.endswith(f".{self.expired}"):
            raise TaskgateError(code=grpc.StatusCode.INVALID_ARGUMENT, message="m", reason="r")
        lines = [line for line in self.lines if params.get("startTime", 0) <= line.time]
        return self._page(lines, token, count, forwards=params["startFromHead"])

    def _page(
        self, lines: list[Line], token: str | None, count: int, *, forwards: bool
    ) -> AwsResponse:
        empties = 0
        if token is None:
            place = 0 if forwards else len(lines)
        else:
            place, empties = (int(part) for part in token[1:].split(".")[:2])
        first, end = (place, place + count) if forwards else (max(place - count, 0), place)
        page = lines[first:end]
        at_end = place >= len(lines) if forwards else place <= 0
        returned = empties if at_end or page else empties + 1
        value = {
            "events": [{"timestamp": line.time, "message": line.message} for line in page],
            "nextForwardToken": f"f{first + len(page)}.{returned}.{self.expired}",
            "nextBackwardToken": f"b{first}.{returned}.{self.expired}",
        }
        return AwsResponse(value=value, request_id="r", observe_time=0.0)


def reading(stream: Stream) -> LogReader:
    return LogReader(gateway=cast("Any", stream), options=CallOptions(max_age=0.0))


def made(count: int) -> list[Line]:
    """Three of them in each millisecond."""
    return [Line(1 + index // 3, str(index)) for index in range(count)]


async def read_all(cursor: Cursor, stream: Stream, limit: int | None = None) -> list[Line]:
    lines: list[Line] = []
    is_all = False
    while not is_all and len(lines) != limit:
        left = None if limit is None else limit - len(lines)
        page, is_all = await cursor.read(reading(stream), left)
        lines += page
        assert len(stream.calls) < 500
    return lines


SIZES = st.lists(st.integers(0, 7), min_size=1, max_size=5).filter(any)


@given(count=st.integers(0, 40), sizes=SIZES, limit=st.none() | st.integers(1, 50))
def test_all_lines_are_read_once_and_in_order(
    count: int, sizes: list[int], limit: int | None
) -> None:
    stream = Stream(made(count), sizes)
    lines = asyncio.run(read_all(Cursor(SECTION), stream, limit))
    assert lines == made(count)[:limit]


@given(count=st.integers(0, 40), sizes=SIZES, tail=st.integers(1, 50), later=st.integers(0, 5))
def test_the_last_lines_are_exact_and_reading_continues_after_them(
    count: int, sizes: list[int], tail: int, later: int
) -> None:
    async def run() -> None:
        stream = Stream(made(count), sizes)
        lines, cursor = await read_last(reading(stream), SECTION, tail)
        assert lines == made(count)[-tail:]
        stream.lines = made(count + later)
        assert await read_all(cursor, stream) == made(count + later)[count:]

    asyncio.run(run())


@given(count=st.integers(1, 20), sizes=SIZES, later=st.integers(0, 5))
def test_an_expired_token_neither_skips_nor_repeats_lines(
    count: int, sizes: list[int], later: int
) -> None:
    async def run() -> None:
        stream, cursor = Stream(made(count), sizes), Cursor(SECTION)
        await read_all(cursor, stream)
        stream.expired += 1
        stream.lines = made(count + later)
        assert await read_all(cursor, stream) == made(count + later)[count:]

    asyncio.run(run())


async def test_lines_outside_the_section_are_dropped() -> None:
    stream = Stream([Line(9, "a"), Line(10, "b"), Line(19, "c"), Line(20, "d")], [4])
    section = Section(group="g", stream="s", start=10, end=20)
    assert await read_all(Cursor(section), stream) == [Line(10, "b"), Line(19, "c")]
    assert (stream.calls[0]["startTime"], stream.calls[0]["endTime"]) == (10, 20)


class Odd(Stream):
    """Returns this response."""

    def __init__(self, value: dict[str, Any]) -> None:
        super().__init__([], [1])
        self.value = value

    async def call(self, operation: str, params: Mapping[str, Any], *_: object) -> AwsResponse:
        del operation, params
        return AwsResponse(value=self.value, request_id="r", observe_time=0.0)


@pytest.mark.parametrize(
    "event", [None, 5, {}, {"timestamp": "1", "message": "m"}, {"timestamp": 1, "message": None}]
)
async def test_a_response_that_does_not_fit_the_model_is_an_error(event: Any) -> None:
    with pytest.raises(TaskgateError) as raised:
        await Cursor(SECTION).read(reading(Odd({"events": [event]})))
    assert raised.value.reason == "UPSTREAM_RESPONSE_UNREADABLE"


async def test_unpaired_surrogates_are_replaced() -> None:
    value, _ = read_json(rb'{"events": [{"timestamp": 1, "message": "a\ud800b"}]}')
    [line], is_all = await Cursor(SECTION).read(reading(Odd(value)))
    assert is_all
    line.message.encode()


async def test_an_invalid_request_without_a_token_raises() -> None:
    class Refusing(Stream):
        async def call(self, operation: str, params: Mapping[str, Any], *_: object) -> AwsResponse:
            del operation, params
            raise TaskgateError(code=grpc.StatusCode.INVALID_ARGUMENT, message="m", reason="r")

    with pytest.raises(TaskgateError):
        await Cursor(SECTION).read(reading(Refusing([], [1])))
