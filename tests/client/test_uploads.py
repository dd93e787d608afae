"""An upload is told by the server's status, also where gRPC has put its own over it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import grpc
import pytest

from taskgate_client.aio.uploads import AsyncLimitedChannel

Status = tuple[grpc.StatusCode, str]
REFUSED: Status = (grpc.StatusCode.NOT_FOUND, "there is no such store")
OVER_IT: Status = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class Call:
    """A call that gets one status after the other, and is awaited then."""

    def __init__(self, *statuses: Status) -> None:
        self._statuses = statuses
        self._status = statuses[0]
        self._note: Callable[[Any], None] | None = None

    def add_done_callback(self, note: Callable[[Any], None]) -> None:
        self._note = note

    async def code(self) -> grpc.StatusCode:
        return self._status[0]

    async def details(self) -> str:
        return self._status[1]

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(("from", "server"))

    def cancel(self) -> bool:
        return True

    def __await__(self) -> Generator[Any, None, str]:
        assert self._note is not None
        self._note(self)
        code, details = self._statuses[-1]
        yield from ()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
        return "answer"


class Channel:
    """What makes such calls."""

    unary_stream = stream_stream = None

    def __init__(self, call: Call) -> None:
        self._call = call

    def stream_unary(self, path: str) -> Callable[[object], Call]:
        assert path == "/upload"
        return lambda _: self._call


def upload(*statuses: Status) -> Any:
    channel: Any = Channel(Call(*statuses))
    return AsyncLimitedChannel(channel).stream_unary("/upload")([])


@pytest.mark.parametrize(
    "statuses", [(REFUSED,), (REFUSED, OVER_IT), (OVER_IT, REFUSED)], ids=["one", "over", "under"]
)
async def test_the_servers_status_is_told(statuses: tuple[Status, ...]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upload(*statuses)
    assert (caught.value.code(), caught.value.details()) == REFUSED


async def test_an_internal_error_of_the_servers_own_is_told() -> None:
    own = (grpc.StatusCode.INTERNAL, "a bug")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upload(own, OVER_IT)
    assert caught.value.details() == "a bug"


async def test_an_answer_is_given_and_all_else_is_the_calls() -> None:
    call = upload((grpc.StatusCode.OK, ""))
    assert await call == "answer"
    assert call.cancel()
