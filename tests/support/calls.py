"""Calls that did not come over gRPC, for tests of what lies behind the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from taskgate_server.calls import CallContext, CallRecord, Rpc


class FakeWire:
    """The connection of a call without metadata and without messages.

    Args:
        seconds: until the deadline of the call; None for no deadline.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        return ()

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def read(self) -> Awaitable[Any]:
        async def end() -> Any:
            return grpc.aio.EOF

        return end()

    def time_remaining(self) -> float | None:
        return self._seconds


def make_call(
    method: str = "taskgate.v1.TaskService/GetTask",
    seconds: float | None = None,
    *,
    rpc: Rpc | None = None,
    call_id: str = "a1b2",
    **outcome: object,
) -> CallContext:
    """Return a call of an RPC, or of one that nothing serves; with an outcome where given."""
    unserved = Rpc(
        method=method, request_class=Empty, response_class=Empty, behaviour=lambda *_: None
    )
    record = CallRecord(**outcome)  # type: ignore[arg-type]  # fields of all types
    return CallContext(rpc or unserved, call_id, FakeWire(seconds), record)
