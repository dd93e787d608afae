"""The path of every call, from gRPC to the behaviour that serves it.

`stages` lists them, in the order in which a call passes them. Each may refuse the call; whatever
they are to do at its end is in `Call.ends`. Calls with and without streams take the same path.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpc.aio import ServicerContext

from taskgate_server import errors
from taskgate_server.calls import Call, Handler, Rpc, parse_request
from taskgate_server.pipeline.refusals import Refusals
from taskgate_server.pipeline.response import CallerLeftError, send_error, send_source, write
from taskgate_server.pipeline.stage import Enter, Stage
from taskgate_server.telemetry import log_bug

Context: TypeAlias = "ServicerContext[Any, Any]"


class CallIds:
    """Makes ids that no other call has: one of the process, and a number."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(6)
        self._numbers = itertools.count()

    def __call__(self) -> str:
        """Return the next id."""
        return f"{self._process}{next(self._numbers):06x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Makes the gRPC handlers of RPCs.

    Args:
        stages: in the order in which a call passes them.
        refusals: slows down and samples refusals.
        make_call_id: names calls in the log and in RequestInfo.
    """

    stages: Sequence[Stage]
    refusals: Refusals
    make_call_id: Callable[[], str] = field(default_factory=CallIds)

    def handler(self, rpc: Rpc) -> Handler:
        """Return the handler of an RPC.

        To gRPC, every request is a stream: only then does it call the handler before the message
        has arrived. Whether there is one message or several is the same on the wire.
        """
        if rpc.server_streams:
            return grpc.stream_stream_rpc_method_handler(self._stream(rpc))
        return grpc.stream_unary_rpc_method_handler(self._unary(rpc))

    def unknown_handler(self, method: str) -> Handler:
        """Return the handler of a method that there is not. It does not read the request.

        Args:
            method: its full name, as the caller sent it.
        """

        async def refuse(_: object, __: Call) -> NoReturn:
            raise errors.unknown_method(method)

        return self.handler(
            Rpc(
                method=method,
                request_class=Empty,
                response_class=Empty,
                behaviour=refuse,
                takes_bytes=True,
                is_public=True,
                has_request=False,
            )
        )

    def _unary(self, rpc: Rpc) -> Callable[[object, Context], Awaitable[bytes]]:
        enters = self._enters(rpc)

        async def handle(_: object, context: Context) -> bytes:
            call = self._call(rpc, context)
            try:
                for enter in enters:
                    await enter(call)
                if call.lifetime is None:
                    response = await rpc.behaviour(_request(rpc, call), call)
                else:
                    response = await _serve_long(rpc, call, call.lifetime)
                await send_source(call, context)
            except asyncio.CancelledError:
                _cancelled(call)
                raise
            except Exception as error:  # noqa: BLE001  # nothing else may reach the caller
                await self._fail(call, context, error)
            else:
                return _serialized(response)
            finally:
                _end(call)

        return handle

    def _stream(self, rpc: Rpc) -> Callable[[object, Context], Awaitable[None]]:
        enters = self._enters(rpc)

        async def serve(call: Call, context: Context) -> None:
            request = _request(rpc, call)
            _forget_request(call)
            # Writing, not yielding: a caller that leaves then ends the behaviour at once.
            async with aclosing(rpc.behaviour(request, call)) as responses:
                async for response in responses:
                    await write(context, _serialized(response))

        async def handle(_: object, context: Context) -> None:
            call = self._call(rpc, context)
            try:
                for enter in enters:
                    await enter(call)
                if call.lifetime is None:
                    await serve(call, context)
                else:
                    async with call.lifetime:
                        await serve(call, context)
                await send_source(call, context)
            except asyncio.CancelledError:
                _cancelled(call)
                raise
            except Exception as error:  # noqa: BLE001  # nothing else may reach the caller
                await self._fail(call, context, error)
            finally:
                _end(call)

        return handle

    def _enters(self, rpc: Rpc) -> list[Enter]:
        return [enter for stage in self.stages if (enter := stage.of(rpc)) is not None]

    def _call(self, rpc: Rpc, context: Context) -> Call:
        return Call(
            method=rpc.method,
            call_id=self.make_call_id(),
            time_remaining=context.time_remaining,
            wire=context,
            read=context.read,
        )

    async def _fail(self, call: Call, context: Context, error: Exception) -> NoReturn:
        """End the call with an error; one that is not Taskgate's own is a bug."""
        if isinstance(error, CallerLeftError):
            call.code = grpc.StatusCode.CANCELLED
            raise asyncio.CancelledError from None  # as gRPC ends calls whose caller has left
        if isinstance(error, errors.TaskgateError):
            failure = error
            call.aws_request_id = failure.aws_request_id or call.aws_request_id
        else:
            trace = {} if call.trace is None else {"trace_id": call.trace.trace}
            log_bug(error, method=call.method, call_id=call.call_id, **trace)
            failure = errors.BugError()
        call.error, call.code = failure, failure.code
        _forget_request(call)
        _forget_frames(error)
        await self.refusals.hold(call, failure)
        _end(call)  # as for a response: there is a line in the audit before the caller knows
        await send_error(call, context, failure)


def _request(rpc: Rpc, call: Call) -> Any:
    """Return the request as the behaviour takes it."""
    if rpc.client_streams:
        return call.requests
    if rpc.takes_bytes:
        return call.data
    return call.message or parse_request(rpc.request_class, call.data)


async def _serve_long(rpc: Rpc, call: Call, lifetime: AbstractAsyncContextManager[None]) -> Any:
    request = _request(rpc, call)
    _forget_request(call)
    async with lifetime:
        return await rpc.behaviour(request, call)


def _forget_request(call: Call) -> None:
    """Drop the message of a call that may last for days; its behaviour has what it needs of it."""
    call.data, call.message = b"", None


def _serialized(response: Message | bytes) -> bytes:
    """Return a response's bytes; one that many callers get is serialized already."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def _cancelled(call: Call) -> None:
    """Note how a call ended that gRPC has cancelled: its caller left, or its deadline passed."""
    left = call.time_remaining()
    is_late = left is not None and left <= 0
    call.code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED


def _forget_frames(error: BaseException) -> None:
    """Drop the frames in which an error arose, once it is logged.

    gRPC's exception for an aborted call refers to the call, and the call to it. With the frames,
    such a cycle would keep the request, megabytes maybe, until the garbage collector runs.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None


def _end(call: Call) -> None:
    """Run what is to happen at the end of a call."""
    while call.ends:
        call.ends.pop()()
    call.error = None  # see `_forget_frames`
    _forget_request(call)
