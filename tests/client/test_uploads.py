"""An upload fails with the server's status, also if gRPC has replaced it by its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import grpc
import pytest

from taskgate_client.aio.uploads import AsyncStubChannel
from taskgate_client.channels import CallDefaults
from taskgate_client.lifetime import Lifetime
from taskgate_client.security import BearerToken
from taskgate_client.writes import Writes

Status = tuple[grpc.StatusCode, str]
REFUSED: Status = (grpc.StatusCode.NOT_FOUND, "there is no such store")
REPLACED: Status = (grpc.StatusCode.INTERNAL, "Internal error from Core")


class Call:
    """A call that has one status after the other, and is then awaited."""

    def __init__(self, *statuses: Status) -> None:
        self._statuses = statuses
        self._status = statuses[0]
        self._callback: Callable[[Any], None] | None = None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callback = callback

    async def code(self) -> grpc.StatusCode:
        return self._status[0]

    async def details(self) -> str:
        return self._status[1]

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(("from", "server"))

    def cancel(self) -> bool:
        return True

    def __await__(self) -> Generator[Any, None, str]:
        assert self._callback is not None
        self._callback(self)
        code, details = self._statuses[-1]
        yield from ()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
        return "response"


class Channel:
    """A channel that makes such calls."""

    unary_stream = stream_stream = None

    def __init__(self, call: Call) -> None:
        self._call = call

    def stream_unary(self, path: str) -> Callable[[object], Call]:
        assert path == "/upload"
        return lambda *_, **__: self._call


def upload(*statuses: Status) -> Any:
    channel: Any = Channel(Call(*statuses))
    return AsyncStubChannel(
        channel, CallDefaults(Writes(time.monotonic), Lifetime(), BearerToken(None))
    ).stream_unary("/upload")([])


@pytest.mark.parametrize(
    "statuses", [(REFUSED,), (REFUSED, REPLACED), (REPLACED, REFUSED)], ids=["one", "over", "under"]
)
async def test_the_servers_status_is_raised(statuses: tuple[Status, ...]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upload(*statuses)
    assert (caught.value.code(), caught.value.details()) == REFUSED


async def test_an_internal_error_of_the_server_is_raised() -> None:
    own = (grpc.StatusCode.INTERNAL, "a bug")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upload(own, REPLACED)
    assert caught.value.details() == "a bug"


async def test_a_response_is_returned_and_other_methods_are_the_calls() -> None:
    call = upload((grpc.StatusCode.OK, ""))
    assert await call == "response"
    assert call.cancel()
