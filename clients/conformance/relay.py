"""A gRPC proxy in front of one or more servers that follows the rules of a case.

It fails calls, sends responses of its own or hangs. Otherwise it forwards bytes, to the servers in
turn, optionally converted as by a server of another contract. It records calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeVar

import grpc
from google.protobuf import json_format

from conformance.contracts import UNKNOWN_FIELD, Contract, current, current_methods, message_of

T = TypeVar("T")
NOT_FORWARDED = ("user-agent", "te", "grpc-", ":")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How to handle calls of a method, in the form of cases."""

    method: str
    """The name of the method, without the service."""
    times: int = 1
    """Number of calls that the rule applies to."""
    status: str = ""
    """Status of the call, after the messages; empty for OK."""
    details: str = "failed by the relay"
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Trailers with the status; each character of a `-bin` value is a byte."""
    messages: Sequence[Mapping[str, Any]] | None = None
    """Responses, as protobuf's JSON, instead of those of the server. A number stands for an enum
    value of a newer contract."""
    newer: bool = False
    """Whether each message has a field that no contract has."""
    hang: bool = False
    """Whether to hang after the messages, until the client cancels."""
    silent_after: int | None = None
    """Forward this many messages of the server, then hang."""


class Relay(grpc.GenericRpcHandler):
    """The proxy, in a thread of its own.

    Args:
        upstreams: the addresses of the servers.
        contract: of the server that the relay simulates; None for the current one.
    """

    def __init__(self, *upstreams: str, contract: Contract | None = None) -> None:
        self._upstreams = upstreams
        self._contract = contract or current()
        self._rules: deque[list[Any]] = deque()
        self.calls: list[tuple[str, Mapping[str, str], bytes]] = []
        """Methods, metadata and first requests since `reset`."""
        self.deadlines: list[tuple[str, float | None]] = []
        """Methods and timeouts of calls since `reset`, in seconds."""
        self.cancelled = 0
        """Number of calls that clients cancelled while the relay hung."""
        self.address = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay")

    def __enter__(self) -> Relay:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> None:
        """Clear calls and rules."""
        self._rules.clear()
        self.calls.clear()
        self.deadlines.clear()
        self.cancelled = 0

    def add(self, rule: Rule) -> None:
        """Add a rule for calls to which earlier rules do not apply."""
        self._rules.append([rule, rule.times])

    def requests(self, method: str) -> list[dict[str, Any]]:
        """Return the requests of a method, as protobuf's JSON."""
        found = []
        for path, _, body in self.calls:
            if path.endswith(f"/{method}"):
                request = message_of(current_methods()[path].input_type)
                request.MergeFromString(body)
                found.append(json_format.MessageToDict(request))
        return found

    # gRPC's generic handler: one for all methods.

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a call."""
        path = details.method
        metadata = {
            key: value
            for key, value in details.invocation_metadata
            if isinstance(value, str) and not key.startswith(NOT_FORWARDED)
        }

        async def handle(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            request = await anext(requests, b"")
            self.calls.append((path, metadata, request))
            self.deadlines.append((path, context.time_remaining()))
            rule = self._rule(path)
            if rule is None or rule.silent_after is not None:
                async for message in self._forward(
                    path, metadata, _with_first(request, requests), context, rule
                ):
                    yield message
                return
            for each in rule.messages or ():
                yield _encoded(path, each, newer=rule.newer)
            if rule.hang:
                await self._hang()
            if rule.status:
                trailing = tuple(_metadata_value(*item) for item in rule.metadata.items())
                await context.abort(grpc.StatusCode[rule.status], rule.details, trailing)

        # On the wire every kind of call is a stream in both directions.
        return grpc.stream_stream_rpc_method_handler(handle)

    async def _forward(
        self,
        path: str,
        metadata: Mapping[str, str],
        requests: AsyncIterator[bytes],
        context: Any,
        rule: Rule | None,
    ) -> AsyncIterator[bytes]:
        if not self._contract.has(path):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        known = (self._contract.request(path, each) async for each in requests)
        channel = next(self._turns)
        rpc: Any = channel.stream_stream(path)  # bytes to bytes, which its types lack
        call = rpc(known, metadata=tuple(metadata.items()), timeout=context.time_remaining())
        forwarded = 0
        try:
            async for message in call:
                if rule is not None and forwarded == rule.silent_after:
                    await self._hang()
                yield self._contract.response(path, message)
                forwarded += 1
        except grpc.aio.AioRpcError as error:
            context.set_trailing_metadata(tuple(error.trailing_metadata() or ()))
            context.set_code(error.code())
            context.set_details(error.details() or "")
        finally:
            call.cancel()

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def _rule(self, path: str) -> Rule | None:
        for entry in self._rules:
            rule, remaining = entry
            if path.endswith(f"/{rule.method}") and remaining:
                entry[1] -= 1
                found: Rule = rule
                return found
        return None

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        options = (("grpc.max_reconnect_backoff_ms", 200),)
        self._channels = [grpc.aio.insecure_channel(each, options) for each in self._upstreams]
        self._turns = cycle(self._channels)
        await self._server.start()

    async def _stop(self) -> None:
        await self._server.stop(0)
        for channel in self._channels:
            await channel.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


def _encoded(path: str, fields: Mapping[str, Any], *, newer: bool) -> bytes:
    message = message_of(current_methods()[path].output_type)
    json_format.ParseDict(dict(fields), message)
    return bytes(message.SerializeToString()) + (UNKNOWN_FIELD if newer else b"")


def _metadata_value(key: str, value: str) -> tuple[str, str | bytes]:
    return key, value.encode("latin-1") if key.endswith("-bin") else value


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in rest:
        yield each
